# SPDX-License-Identifier: Apache-2.0
"""What dpkg's database of a root says is installed: its `status` and the lists of files in `info`."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from zaffre.tree.deb.dpkgdb import ADMIN
from zaffre.tree.installed import InstalledPackage
from zaffre.tree.rootfs import inside, read_text, write_text
from zaffre.upstream.deb.control import parse_stanzas

MARKS = "var/lib/apt/extended_states"
"""Where apt notes which packages are there for others."""

_PLACES = ("usr/lib/sysimage/dpkg", "var/lib/dpkg")


def deb_packages(root: Path) -> Iterator[InstalledPackage]:
    """Nothing where there is no database; packages whose list of files is gone have no files."""
    places = (inside(root, folder) for folder in _PLACES)
    database = next((place for place in places if (place / "status").is_file()), None)
    if database is None:
        return
    for stanza in parse_stanzas(_text(database / "status")):
        name, architecture = stanza["Package"], stanza["Architecture"]
        lists = (database / "info" / f"{one}.list" for one in (name, f"{name}:{architecture}"))
        paths = tuple(line for path in lists if path.is_file() for line in _text(path).splitlines())
        yield InstalledPackage(name, stanza["Version"], architecture, paths)


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def conffiles(root: Path) -> frozenset[str]:
    """Absolute paths of the files that dpkg asks about when they were changed."""
    stanzas = parse_stanzas(read_text(root, f"{ADMIN}/status"))
    lines = [line.split() for stanza in stanzas for line in stanza.get("Conffiles", "").splitlines()]
    return frozenset(words[0] for words in lines if words)


def mark_dependencies(root: Path, wanted: Collection[str]) -> None:
    """Have all packages but `wanted` marked as there for others (apt-mark(8))."""
    stanzas = [
        f"Package: {name}\nArchitecture: {architecture}\nAuto-Installed: 1\n"
        for name, architecture in sorted(package.key for package in deb_packages(root))
        if name not in wanted
    ]
    write_text(root, MARKS, "".join(f"{stanza}\n" for stanza in stanzas))
