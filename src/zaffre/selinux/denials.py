# SPDX-License-Identifier: Apache-2.0
"""Reads denials: lines of the kernel's log, of the journal, or of an audit log (ausearch(8)).

The form is that of the kernel's security/selinux/avc.c, and of libselinux's src/avc.c for services that ask for
themselves (USER_AVC). What is in quotes there is whatever a process calls itself or a file: it is not trusted.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DENIED = re.compile(r"avc: +denied +\{(?P<permissions>[^{}]*)\} for (?P<rest>.*)")
_CONTEXTS = re.compile(r"(?:^|\s)scontext=(?P<source>\S+)\s+tcontext=(?P<target>\S+)\s+tclass=(?P<kind>\w+)(?!\S)")
_FIELD = re.compile(r"(?:^|\s)(?P<name>comm|path|name|dest|src)=(?:\"(?P<quoted>[^\"]*)\"|(?P<bare>\S+))")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_CATEGORY = re.compile(r"c(\d{1,4})(?:\.c(\d{1,4}))?")
_MOST_CATEGORIES = 1024
_MOST_SHOWN = 320


@dataclass(frozen=True, order=True)
class Context:
    """Of user:role:type:level, the type, and the categories of the level's upper end (selinux(8), MCS)."""

    type: str
    categories: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Denial:
    """One: who (`source`) wanted what (`permissions`, as told) of whom (`target`), which is of a `kind` (a class).
    `program` is how the process calls itself, `name` what it wanted to reach, if that was told; both can be printed.
    """

    source: Context
    target: Context
    kind: str
    permissions: tuple[str, ...]
    program: str = ""
    name: str = ""

    def __str__(self) -> str:
        target = f"{self.name} ({self.target.type})" if self.name else self.target.type
        return f"{self.program or self.source.type}: {' '.join(self.permissions)} of {target}, {self.kind}"


@dataclass(frozen=True)
class Read:
    """What was read of a text: denials, in its order, and lines that tell of one and can't be read."""

    denials: tuple[Denial, ...]
    unread: tuple[str, ...]


def denials_in(lines: Iterable[str]) -> Read:
    """Those of a text, whatever else is in it."""
    found: list[Denial] = []
    unread: list[str] = []
    for line in lines:
        if "avc:" not in line or "denied" not in line:
            continue
        denial = read_denial(line)
        if denial is None:
            unread.append(printable(line.strip()))
        else:
            found.append(denial)
    return Read(tuple(found), tuple(unread))


def read_denial(line: str) -> Denial | None:
    """That of a line; None if there is none, or one that is in another form."""
    match = _DENIED.search(line)
    contexts = _CONTEXTS.search(match["rest"]) if match else None
    if match is None or contexts is None:
        return None
    source, target = _context(contexts["source"]), _context(contexts["target"])
    permissions = tuple(dict.fromkeys(match["permissions"].split()))
    if source is None or target is None or not permissions:
        return None
    if not all(_IDENTIFIER.fullmatch(word) for word in (*permissions, contexts["kind"])):
        return None
    # Names end where the contexts begin: one that looks like a context is part of a name.
    fields = dict(_fields(match["rest"][: contexts.start()]))
    names = (fields[key] for key in ("path", "name", "dest", "src") if fields.get(key))
    return Denial(source, target, contexts["kind"], permissions, fields.get("comm", ""), next(names, ""))


def _context(text: str) -> Context | None:
    parts = text.split(":", 3)
    if len(parts) < 3 or not _IDENTIFIER.fullmatch(parts[2]):
        return None
    level = parts[3].rpartition("-")[2] if len(parts) > 3 else ""
    return Context(parts[2], frozenset(_categories(level.partition(":")[2])))


def _categories(text: str) -> Iterator[int]:
    for word in text.split(","):
        if match := _CATEGORY.fullmatch(word):
            last = min(int(match[2] or match[1]), _MOST_CATEGORIES - 1)
            yield from range(int(match[1]), last + 1)


def _fields(text: str) -> Iterator[tuple[str, str]]:
    for match in _FIELD.finditer(text):
        value = match["bare"] if match["quoted"] is None else match["quoted"]
        if match["bare"] is not None and match["name"] in {"comm", "path", "name"}:
            value = _decoded(value)
        yield match["name"], printable(value)


def _decoded(value: str) -> str:
    """What has a quote or a space in it is told as hexadecimal numbers (audit_log_untrustedstring)."""
    try:
        return binascii.unhexlify(value).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return value


def printable(text: str) -> str:
    """On one line, in what can be printed, and not long."""
    shown = "".join(character if character.isprintable() else "?" for character in text)
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]}…"
