# SPDX-License-Identifier: Apache-2.0
"""What RPM packages would put into a root, from their headers, and what of it is refused. Pure.

rpm runs as root and makes whatever a header says. So the header is read first, and what no sound package has is
refused before rpm sees it: devices and pipes, paths and links that leave the root, files that give their caller rights
and are not declared. The payload needs no look of its own: rpm makes only what the header lists, and as it says there
(rpm's lib/fsm.cc), within the root by chroot(2).
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from zaffre.errors import IntegrityError
from zaffre.tree.policy import SetuidPolicy, Verdict, is_privileged, undeclared_error
from zaffre.upstream.lock import LockedPackage
from zaffre.upstream.rpm.header import Header, Tag

_GHOST = 1 << 6  # RPMFILE_GHOST: known to the package, and made by others
_MAX_PATH = 4096
_KINDS = {stat.S_IFREG: "", stat.S_IFDIR: "", stat.S_IFLNK: ""}
_REFUSED = {
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
}
_MERGED = frozenset({"bin", "lib", "lib64", "sbin"})
_SBIN = "usr/sbin"


class PackagedPath(NamedTuple):
    """One path of a package. `path` has no leading slash; `mode` has the kind too (inode(7)); `target` is a link's."""

    path: str
    mode: int
    size: int
    mtime: int
    target: str
    capability: str
    ghost: bool


def packaged_paths(header: Header) -> Iterator[PackagedPath]:
    """What a header lists, unjudged. Raises ValueError where its arrays do not fit together."""
    names = header.texts(Tag.BASENAMES)
    if not names:
        if header.texts(Tag.OLD_FILE_NAMES):
            raise ValueError("it lists its files in the form of rpm 3")
        return
    folders, indexes = header.texts(Tag.DIRNAMES), header.numbers(Tag.DIRINDEXES)
    sizes = header.numbers(Tag.LONG_FILE_SIZES) or header.numbers(Tag.FILE_SIZES)
    modes, times, flags = (header.numbers(tag) for tag in (Tag.FILE_MODES, Tag.FILE_MTIMES, Tag.FILE_FLAGS))
    targets = header.texts(Tag.FILE_LINKTOS)
    capabilities = header.texts(Tag.FILE_CAPS) or ("",) * len(names)
    rows = zip(names, indexes, modes, sizes, times, flags, targets, capabilities, strict=True)
    for name, index, mode, size, time, flag, target, capability in rows:
        if index >= len(folders):
            raise ValueError("a file lies in a folder that is not listed")
        path = f"{folders[index]}{name}"
        if not path.startswith("/"):
            raise HostilePathError(path, "it has a path that does not begin at the root")
        yield PackagedPath(path[1:], mode, size, time, target, capability, bool(flag & _GHOST))


class HostilePathError(ValueError):
    """A path that is refused."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(why)
        self.path = path


def checked_paths(package: LockedPackage, header: Header) -> tuple[PackagedPath, ...]:
    """The paths of a package. Raises IntegrityError, naming package and path, for what no sound package has."""
    label = f"{package.name}-{package.version}.{package.architecture}.rpm"
    try:
        return _checked(header, package.name)
    except ValueError as error:
        raise IntegrityError(
            f"the package {package.name} is refused: {error}",
            where=f"{label}: /{error.path.lstrip('/')}" if isinstance(error, HostilePathError) else label,
            details=f"sha256 {package.sha256}, {package.size} bytes, from {package.archive}",
            resolution="no package of a sound distribution looks like this: find out who made it before anything else; "
            "`zaffre lock --update` takes another version",
        ) from error


def _checked(header: Header, name: str) -> tuple[PackagedPath, ...]:
    if header.text(Tag.NAME) != name:
        raise ValueError(f"it calls itself {header.text(Tag.NAME)}")
    paths = tuple(packaged_paths(header))
    seen: set[str] = set()
    for one in paths:
        _check(one)
        if one.path in seen:
            raise HostilePathError(one.path, "it has this path twice")
        seen.add(one.path)
    return paths


def _check(one: PackagedPath) -> None:
    if one.path and any(part in {"", ".", ".."} for part in one.path.split("/")):
        raise HostilePathError(one.path, "it has a path with '..', '.' or an empty part")
    if len(one.path) >= _MAX_PATH or not _is_text(one.path):
        raise HostilePathError(ascii(one.path[:200]), "it has a path that is too long or holds control characters")
    kind = stat.S_IFMT(one.mode)
    if kind in _REFUSED and not one.ghost:
        raise HostilePathError(one.path, f"it ships {_REFUSED[kind]}")
    if kind not in _KINDS and kind not in _REFUSED:
        raise HostilePathError(one.path, f"it has a path of kind {kind:#o}, which no package uses")
    if kind == stat.S_IFLNK:
        _check_link(one)


def _check_link(one: PackagedPath) -> None:
    if not one.target or len(one.target) >= _MAX_PATH or not _is_text(one.target):
        raise HostilePathError(one.path, "it is a symbolic link with a malformed target")
    depth = 0 if one.target.startswith("/") else one.path.count("/")
    for part in one.target.split("/"):
        if part == "..":
            depth -= 1
        elif part not in {"", "."}:
            depth += 1
        if depth < 0:
            raise HostilePathError(one.path, f"it is a symbolic link to {one.target}, above the root")


def _is_text(text: str) -> bool:
    return all(c >= " " and c != "\x7f" for c in text)


def check_privileges(packages: Sequence[tuple[str, Sequence[PackagedPath]]], policy: SetuidPolicy) -> None:
    """Raise DefinitionError for files that give their caller rights and that the policy names nowhere."""
    place = _places(paths for _, paths in packages)
    undeclared = [
        (f"/{path}", name)
        for name, paths in packages
        for one in paths
        if stat.S_ISREG(one.mode) and is_privileged(one.mode, one.capability)
        if policy.verdict(path := place(one.path)) is Verdict.UNDECLARED
    ]
    if undeclared:
        raise undeclared_error(undeclared)


def shipped(packages: Sequence[Sequence[PackagedPath]]) -> Mapping[str, tuple[int, int | str]]:
    """What `Times` wants to know of each file and link that a package has."""
    place = _places(packages)
    return {
        place(one.path): (one.mtime, one.target if stat.S_ISLNK(one.mode) else one.size)
        for paths in packages
        for one in paths
        if not one.ghost and not stat.S_ISDIR(one.mode)
    }


def _places(packages: Iterable[Sequence[PackagedPath]]) -> Callable[[str], str]:
    """Where a path lies when these packages are installed, by the folders that are links.

    /bin and its like are links into /usr, which every system is that systemd still runs. /usr/sbin is one to /usr/bin
    where a package has it so, as in newer Fedora.
    """
    one_bin = any(
        one.path == _SBIN and stat.S_ISLNK(one.mode) and one.target in {"bin", "/usr/bin"}
        for paths in packages
        for one in paths
    )

    def place(path: str) -> str:
        if path.partition("/")[0] in _MERGED and "/" in path:
            path = f"usr/{path}"
        if one_bin and path.startswith(f"{_SBIN}/"):
            path = f"usr/bin/{path.removeprefix(f'{_SBIN}/')}"
        return path

    return place
