# SPDX-License-Identifier: Apache-2.0
"""Which configuration files will ask. Pure.

dpkg asks about a conffile if the package's new one differs from its old one *and* the machine's differs from both; and
about one that is new in the package if the machine has another file there (dpkg's src/main/configure.c). What a
machine's owner changed can't be known here; what the image itself lays over its packages can.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from zaffre.tree.deb.model import PackageIndex
from zaffre.upgrade.model import Conffile, Move, MoveKind

_MD5 = re.compile(r"[0-9a-f]{32}")
_UCF = re.compile(r"(?<![\w-])ucf\s+-?")
_CHANGING = frozenset({MoveKind.UPGRADED, MoveKind.DOWNGRADED, MoveKind.REBUILT})


class Laid(NamedTuple):
    """A file that a tree of the definition puts into the image: the tree's name, and the MD5 of the content."""

    tree: str
    md5: str


def conffile_changes(
    before: Mapping[str, PackageIndex], after: Mapping[str, PackageIndex], laid: Mapping[str, Laid]
) -> tuple[Conffile, ...]:
    """By path. `laid` has absolute paths."""
    old, new = _conffiles(before), _conffiles(after)
    return tuple(
        _change(path, old.get(path), new.get(path), laid.get(path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path, ("", ""))[1] != new.get(path, ("", ""))[1]
    )


def own_questions(
    moves: tuple[Move, ...], before: Mapping[str, PackageIndex], after: Mapping[str, PackageIndex]
) -> Iterator[str]:
    """Packages that ask by themselves, in words."""
    for move in moves:
        if move.kind not in _CHANGING:
            continue
        old, new = before[move.name], after[move.name]
        script = new.files.get("postinst")
        if script is not None and _UCF.search(script.content.decode(errors="replace")):
            yield f"{move.name}: its script keeps files by ucf(1), which asks about those that were changed"
        templates = [index.files.get("templates") for index in (old, new)]
        if "config" in new.files and templates[1] is not None and templates[0] != templates[1]:
            yield f"{move.name}: its debconf questions changed, so it may ask a new one"


def _conffiles(packages: Mapping[str, PackageIndex]) -> dict[str, tuple[str, str]]:
    """By path: the package and the MD5. Those that an upgrade removes are none."""
    return {
        path: (name, text) for name, index in packages.items() for path, text in index.conffiles if _MD5.fullmatch(text)
    }


def _change(path: str, old: tuple[str, str] | None, new: tuple[str, str] | None, laid: Laid | None) -> Conffile:
    if new is None:
        return Conffile(path=path, package=old[0] if old else "", change="gone", asks="no")
    same_as = {one[1] for one in (old, new) if one is not None}
    return Conffile(
        path=path,
        package=new[0],
        change="changed" if old else "new",
        asks="if-changed" if laid is None else "no" if laid.md5 in same_as else "always",
        tree=laid.tree if laid else None,
    )
