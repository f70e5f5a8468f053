# SPDX-License-Identifier: Apache-2.0
"""Reads denials: lines of the kernel's log, of the journal, or of an audit log (ausearch(8)).

The form is that of the kernel's security/selinux/avc.c, and of libselinux's src/avc.c for services that ask for
themselves (USER_AVC). What is in quotes there is whatever a process calls itself or a file: it is not trusted.

The contexts come last, behind all that somebody else has chosen. The kernel writes a name with a space or a quote in it
as hexadecimal numbers. systemd writes the command line of who asks as it is, whatever is in it, and cuts what is too
long: so of a service only what it can have refused is believed, and nothing that may have been cut.
"""

from __future__ import annotations

import binascii
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_DENIED = re.compile(r"avc: +denied +\{(?P<permissions>[^{}]*)\} for (?P<rest>.*)", re.DOTALL)
_OF_THE_KERNEL = re.compile(r"\s*pid=\d+\s")
_SERVICE = "msg='"
"""What the kernel puts before the words of others that it passes on, and not before its own."""
_SPEAKER = re.compile(r"\ssubj=[^\s:]+:[^\s:]+:(?P<type>[^\s:]+)")
_ASK_THEMSELVES = {"dbus": "system_dbusd_t", "service": "init_t", "system": "init_t"}
"""By class, who refuses such things itself."""
_CONTEXTS = re.compile(r"(?:^|\s)scontext=(?P<source>\S+)\s+tcontext=(?P<target>\S+)\s+tclass=(?P<kind>\w+)(?!\S)")
_FIELD = re.compile(r"(?:^|\s)(?P<name>comm|path|name|dest|src)=(?:\"(?P<quoted>[^\"]*)\"|(?P<bare>\S+))")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*")
_CATEGORY = re.compile(r"c(\d{1,4})(?:\.c(\d{1,4}))?")
_MOST_CATEGORIES = 1024
_MOST_CONTEXT = 4096
_MOST_TOLD = 800
"""Bytes. libselinux cuts at 1,023 (AVC_AUDIT_BUFSIZE), the kernel's log where a line of that length may not fit."""
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
    `by_kernel`: the kernel itself refused it. Of another, who asked may have written the contexts too.
    """

    source: Context
    target: Context
    kind: str
    permissions: tuple[str, ...]
    program: str = ""
    name: str = ""
    by_kernel: bool = True

    def __str__(self) -> str:
        target = f"{self.name} ({self.target.type})" if self.name else self.target.type
        return f"{self.program or self.source.type}: {' '.join(self.permissions)} of {target}, {self.kind}"


@dataclass(frozen=True)
class Read:
    """What was read of a text: denials, in its order, and lines that tell of one and can't be read."""

    denials: tuple[Denial, ...]
    unread: tuple[str, ...]


def denials_in(lines: Iterable[str]) -> Read:
    """Those of a text, whatever else is in it. A line that begins with a space is the journal's for the second of a
    message, which may be anybody's.
    """
    found: list[Denial] = []
    unread: list[str] = []
    for line in lines:
        if "avc:" not in line or "denied" not in line:
            continue
        denial = None if line[0].isspace() else read_denial(line)
        if denial is None:
            unread.append(printable(line.strip()))
        else:
            found.append(denial)
    return Read(tuple(found), tuple(unread))


def read_denial(line: str) -> Denial | None:
    """That of a line; None if there is none, or one that is in another form."""
    match = _DENIED.search(line)
    found = deque(_CONTEXTS.finditer(match["rest"]), maxlen=1) if match else None
    if match is None or not found:
        return None
    contexts = found[0]
    by_kernel = _SERVICE not in line[: match.start()] and _OF_THE_KERNEL.match(match["rest"]) is not None
    if not by_kernel and not _by_service(line[: match.start()], match[0], contexts["kind"]):
        return None
    source, target = _context(contexts["source"]), _context(contexts["target"])
    permissions = tuple(dict.fromkeys(match["permissions"].split()))
    if source is None or target is None or not permissions:
        return None
    if not all(_IDENTIFIER.fullmatch(word) for word in (*permissions, contexts["kind"])):
        return None
    # Names end where the contexts begin: one that looks like a context is part of a name. Of two that are called the
    # same, the second is part of one too.
    fields = dict(reversed(list(_fields(match["rest"][: contexts.start()]))))
    names = (fields[key] for key in ("path", "name", "dest", "src") if fields.get(key))
    program = fields.get("comm", "")
    return Denial(source, target, contexts["kind"], permissions, program, next(names, ""), by_kernel)


def _by_service(before: str, told: str, kind: str) -> bool:
    """Whether a service that asks for itself may have told this, all of it. Whoever may write to the audit log, and a
    container may, can tell what it likes; the kernel says before it who that was.
    """
    speaker = _SPEAKER.search(before)
    trusted = kind in _ASK_THEMSELVES and (speaker is None or speaker["type"] == _ASK_THEMSELVES[kind])
    return trusted and len(told.encode("utf-8", "surrogatepass")) < _MOST_TOLD


def _context(text: str) -> Context | None:
    parts = text.split(":", 3)
    if len(text) > _MOST_CONTEXT or len(parts) < 3 or not _IDENTIFIER.fullmatch(parts[2]):
        return None
    level = parts[3].rpartition("-")[2] if len(parts) > 3 else ""
    categories = _categories(level.partition(":")[2])
    return None if categories is None else Context(parts[2], categories)


def _categories(text: str) -> frozenset[int] | None:
    """The kernel tells them in order, each once (mls_sid_to_context), so there are no more than that."""
    found: list[int] = []
    for word in text.split(",") if text else ():
        match = _CATEGORY.fullmatch(word)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
        if not (found[-1] if found else -1) < first <= last < _MOST_CATEGORIES:
            return None
        found.extend(range(first, last + 1))
    return frozenset(found)


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
