# SPDX-License-Identifier: Apache-2.0
"""Two file trees side by side: type, mode, owner, content, link target, extended attributes; times only if asked.

For the oracle test (our tree against dpkg's) and for `reproduce` (one build against the next). Follows no link.
"""

from __future__ import annotations

import filecmp
import stat
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.tree.globs import matcher
from zaffre.tree.tarball import Node, scan

_KINDS = {
    stat.S_IFREG: "a file",
    stat.S_IFDIR: "a directory",
    stat.S_IFLNK: "a link",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a pipe",
}


@dataclass(frozen=True)
class Difference:
    """One path that differs, and how, in words that name the first tree's side first."""

    path: str
    how: str

    def __str__(self) -> str:
        return f"{self.path}: {self.how}"


@dataclass(frozen=True)
class Explained:
    """Paths (globs) that may differ, and why. No difference is passed over in silence."""

    paths: tuple[str, ...]
    reason: str


def compare_trees(one: Path, other: Path, *, times: bool = False) -> list[Difference]:
    """All differences, sorted by path. The trees must not change meanwhile."""
    left, right = ({node.path: node for node in scan(root)} for root in (one, other))
    found: list[Difference] = []
    for path in sorted(left.keys() | right.keys()):
        if path not in right:
            found.append(Difference(f"/{path}", "only in the first"))
        elif path not in left:
            found.append(Difference(f"/{path}", "only in the second"))
        else:
            ways = _ways(left[path], right[path], one, other, times=times)
            if ways:
                found.append(Difference(f"/{path}", ", ".join(ways)))
    return found


def unexplained(differences: Iterable[Difference], explained: Sequence[Explained]) -> list[Difference]:
    """Those whose path no explanation covers."""
    known: list[Callable[[str], bool]] = [matcher(one.paths) for one in explained]
    return [difference for difference in differences if not any(covers(difference.path) for covers in known)]


def _ways(left: Node, right: Node, one: Path, other: Path, *, times: bool) -> list[str]:
    a, b = left.status, right.status
    if stat.S_IFMT(a.st_mode) != stat.S_IFMT(b.st_mode):
        return [f"{_KINDS.get(stat.S_IFMT(a.st_mode), '?')}, {_KINDS.get(stat.S_IFMT(b.st_mode), '?')}"]
    ways = []
    if stat.S_IMODE(a.st_mode) != stat.S_IMODE(b.st_mode):
        ways.append(f"mode {stat.S_IMODE(a.st_mode):04o}, {stat.S_IMODE(b.st_mode):04o}")
    if (a.st_uid, a.st_gid) != (b.st_uid, b.st_gid):
        ways.append(f"owner {a.st_uid}:{a.st_gid}, {b.st_uid}:{b.st_gid}")
    if left.target != right.target:
        ways.append(f"link to {left.target}, {right.target}")
    if left.xattrs != right.xattrs:
        names = sorted({name for name, _ in {*left.xattrs} ^ {*right.xattrs}})
        ways.append(f"extended attribute {' '.join(names)}")
    if times and int(a.st_mtime) != int(b.st_mtime):
        ways.append(f"time {int(a.st_mtime)}, {int(b.st_mtime)}")
    if stat.S_ISREG(a.st_mode) and not _same_content(one / left.path, other / right.path):
        ways.append(f"content ({a.st_size} bytes, {b.st_size})")
    return ways


def _same_content(one: Path, other: Path) -> bool:
    return filecmp.cmp(one, other, shallow=False)
