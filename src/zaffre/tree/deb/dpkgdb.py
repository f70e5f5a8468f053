# SPDX-License-Identifier: Apache-2.0
"""dpkg's database for packages that were unpacked without dpkg, as dpkg itself would have left it. Pure.

The state written is "install ok unpacked" for all, so that one `dpkg --configure -a` does the rest. Formats: dpkg's
doc/ and lib/dpkg/ (infodb format 1, triggers.c, dump.c); dpkg rewrites the status file in its own order of fields.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from zaffre.tree.deb.merge import Plan
from zaffre.tree.deb.model import PackageIndex

ADMIN = "var/lib/dpkg"
PROVIDES = "zaffre-provides"
"""The package that stands, while packages are configured, for what the image supplies by itself."""

_INTEREST = re.compile(r"interest(?:-await|(?P<noawait>-noawait))?\s+(?P<name>/\S+|[A-Za-z0-9_][A-Za-z0-9_.+:-]*)$")
_LISTED_ONLY = frozenset({"list"})


class DatabaseFile(NamedTuple):
    """A file below the database's folder."""

    path: str
    mode: int
    content: bytes


DIRECTORIES = ("info", "updates", "triggers", "parts", "alternatives")


def database(
    packages: Sequence[PackageIndex], plan: Plan, *, provides: Sequence[str], architecture: str
) -> Iterator[DatabaseFile]:
    """Every file of the database. `packages` in the order that the plan numbers them."""
    # No conffile is left as "newconffile" for --configure to place: it finds the final file and records its sum.
    status = []
    for index, paths in zip(packages, plan.lists, strict=True):
        for name, (mode, content) in index.files.items():
            if name not in _LISTED_ONLY:
                yield DatabaseFile(f"info/{index.label}.{name}", mode, content)
        yield DatabaseFile(f"info/{index.label}.list", 0o644, "".join(f"{path}\n" for path in paths).encode())
        status.append((index.label, _status(index)))
    if provides:
        yield DatabaseFile(f"info/{PROVIDES}.list", 0o644, b"")
        status.append((PROVIDES, provided_stanza(provides)))
    yield DatabaseFile("status", 0o644, "\n".join(text for _, text in sorted(status)).encode())
    yield DatabaseFile("arch", 0o644, f"{architecture}\n".encode())
    yield DatabaseFile("info/format", 0o644, b"1\n")
    for empty in ("available", "diversions", "statoverride", "lock", "lock-frontend", "triggers/Lock"):
        yield DatabaseFile(empty, 0o640 if empty.startswith("lock") else 0o644, b"")
    # Unincorp stays empty: dpkg drops an activation whose interested package is only unpacked, as all are.
    yield DatabaseFile("triggers/Unincorp", 0o644, b"")
    yield from _triggers(packages)


def _status(index: PackageIndex) -> str:
    first, rest = index.control.strip("\n").split("\n", 1)
    conffiles = "".join(f" {path} {text}\n" for path, text in index.conffiles)
    return f"{first}\nStatus: install ok unpacked\n{rest}\n" + (f"Conffiles:\n{conffiles}" if conffiles else "")


def provided_stanza(provides: Sequence[str]) -> str:
    """The status file's words for the package that stands for what the image supplies by itself."""
    return (
        f"Package: {PROVIDES}\nStatus: install ok installed\nVersion: 1\nArchitecture: all\nMulti-Arch: foreign\n"
        f"Maintainer: {PROVIDES}\nProvides: {', '.join(provides)}\nDescription: what the image supplies by itself\n"
    )


def _triggers(packages: Sequence[PackageIndex]) -> Iterator[DatabaseFile]:
    """triggers/File has an interest in a path a line; any other interest is a line of the file with its name."""
    paths: list[str] = []
    named: dict[str, list[str]] = {}
    for index in packages:
        declared = index.files.get("triggers")
        for line in declared.content.decode().splitlines() if declared else ():
            match = _INTEREST.match(line.partition("#")[0].strip())
            if match is None:
                continue
            package = index.label + ("/noawait" if match["noawait"] else "")
            if match["name"].startswith("/"):
                paths.append(f"{match['name']} {package}\n")
            else:
                named.setdefault(match["name"], []).append(f"{package}\n")
    yield DatabaseFile("triggers/File", 0o644, "".join(paths).encode())
    for name, lines in named.items():
        yield DatabaseFile(f"triggers/{name}", 0o644, "".join(lines).encode())


def without_package(status: str, name: str) -> str:
    """The status file's text without that package."""
    stanzas = [stanza for stanza in re.split(r"\n\n+", status) if stanza.strip()]
    kept = [stanza.strip("\n") for stanza in stanzas if not stanza.startswith(f"Package: {name}\n")]
    return "".join(f"{stanza}\n\n" for stanza in kept)
