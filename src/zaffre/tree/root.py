# SPDX-License-Identifier: Apache-2.0
"""A root while it is made, whatever family its packages are of: what it depends on, and what is held of its files."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from zaffre.bill import PurlForm
from zaffre.digest import JSON
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.tree.contents import PackageFiles
from zaffre.tree.ids import Renumbering
from zaffre.tree.policy import SetuidPolicy, Verdict, is_privileged, undeclared_error
from zaffre.tree.said import Said
from zaffre.tree.tarball import Node
from zaffre.upstream.lock import LockedPackage, Users

_CAPABILITY = "security.capability"


@dataclass(frozen=True)
class Settings:
    """What a configured root depends on besides its packages. `epoch` is SOURCE_DATE_EPOCH in seconds.

    `judged` is the time at which signatures must be good, in seconds, where that is another: it changes no root. In a
    `bare` root no script has run, and of the package manager's database there is what scanners read.
    """

    provides: tuple[str, ...]
    users: Users
    setuid: SetuidPolicy
    epoch: int
    architecture: str
    judged: int | None = None
    bare: bool = False


class Times:
    """A file that is as its package shipped it keeps the package's time, at most `epoch`; all else has `epoch`.

    So no clock shows: neither a clock ahead, which clamping alone would mend, nor one behind. `shipped` has, by path,
    the time of each packaged file and link, and its size or the link's text.
    """

    def __init__(self, shipped: Mapping[str, tuple[int, int | str]], epoch: int) -> None:
        self._epoch = epoch
        self._shipped = shipped

    def __call__(self, node: Node) -> int:
        shipped = self._shipped.get(node.path)
        found = node.target if stat.S_ISLNK(node.status.st_mode) else node.status.st_size
        if shipped == (int(node.status.st_mtime), found) and shipped[0] * 10**9 == node.status.st_mtime_ns:
            return max(0, min(shipped[0], self._epoch))
        return self._epoch


@dataclass(frozen=True)
class Built:
    """What is in a root on disk, the time that each path is to have, and the numbers that its owners are to have."""

    nodes: list[Node]
    times: Times
    numbers: Renumbering


class Prepared(Protocol):
    """Packages that were looked at and found to be in order. Nothing of them has run yet."""

    @property
    def size(self) -> int:
        """About how many bytes they unpack to."""
        ...

    def build(self, root: Path, settings: Settings, *, sandbox: Sandbox) -> Built:
        """Fill the empty directory `root` with the configured packages."""
        ...


class RootFamily(Protocol):
    """What one family of packages does differently when a root is made of them."""

    @property
    def purls(self) -> PurlForm:
        """How its packages are named in bills of materials."""
        ...

    def said(self, package: LockedPackage, store: Store) -> Said:
        """What a package that is in the store says of itself. Raises IntegrityError for one that is malformed."""
        ...

    def inputs(self, sandbox: Sandbox) -> Mapping[str, JSON]:
        """What a root of this family depends on besides packages, settings and the code of `tree`."""
        ...

    def prepare(
        self,
        packages: Sequence[LockedPackage],
        settings: Settings,
        *,
        store: Store,
        progress: Progress,
        use_cache: bool,
    ) -> Prepared:
        """Look at locked packages, which are in the store. Raises IntegrityError for hostile ones."""
        ...

    def files(
        self, packages: Sequence[LockedPackage], *, store: Store, sandbox: Sandbox, progress: Progress
    ) -> Mapping[str, PackageFiles]:
        """The files of single packages, by the packages' names, without a root."""
        ...


def apply_setuid(root: Path, nodes: Sequence[Node], policy: SetuidPolicy) -> list[Node]:
    """The policy once more, on what scripts made of the tree (chmod, setcap, dpkg-statoverride).

    Hard links are names of one file: the strictest verdict on any of them is the file's.
    """
    strip: set[tuple[int, int]] = set()
    undeclared: list[tuple[str, str]] = []
    for node in nodes:
        if _is_privileged(node):
            match policy.verdict(node.path):
                case Verdict.UNDECLARED:
                    undeclared.append((f"/{node.path}", "made so by a maintainer script"))
                case Verdict.STRIP:
                    strip.add((node.status.st_dev, node.status.st_ino))
                case Verdict.ALLOW:
                    pass
    if undeclared:
        raise undeclared_error(undeclared)
    return [_stripped(root, node) if (node.status.st_dev, node.status.st_ino) in strip else node for node in nodes]


def _is_privileged(node: Node) -> bool:
    mode = node.status.st_mode
    return stat.S_ISREG(mode) and is_privileged(mode, dict(node.xattrs).get(_CAPABILITY, b""))


def _stripped(root: Path, node: Node) -> Node:
    """The node as it is without its rights, which another name of the file may have lost it already."""
    path = root / node.path
    if any(name == _CAPABILITY for name, _ in node.xattrs):
        try:
            os.removexattr(path, _CAPABILITY, follow_symlinks=False)
        except OSError as error:
            if error.errno != errno.ENODATA:
                raise
    path.chmod(stat.S_IMODE(node.status.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
    return Node(node.path, path.lstat(), tuple(one for one in node.xattrs if one[0] != _CAPABILITY), node.target)
