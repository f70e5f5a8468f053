# SPDX-License-Identifier: Apache-2.0
"""Files inside a root file tree, from outside: every link of the tree is followed as if the tree were `/`.

Packages' scripts have run in the tree. One of them could have made `etc` a link to `/etc`, and a plain
`root / "etc/passwd"` would then be the host's. Nothing may run in the tree meanwhile.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from zaffre.errors import IntegrityError

_MAX_LINKS = 40
_NO_LINK = {errno.EINVAL, errno.ENOENT, errno.ENOTDIR}


def inside(root: Path, path: str, *, follow: bool = True) -> Path:
    """Where `path` of the tree lies on the host. The last component need not exist; `follow` says whether a link
    there is followed. Raises IntegrityError for links in a circle."""
    base = os.fspath(root)
    here = ""
    todo = [part for part in reversed(path.split("/")) if part not in {"", "."}]
    followed = 0
    while todo:
        part = todo.pop()
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        place = f"{here}/{part}"
        target = _link_text(f"{base}{place}") if todo or follow else None
        if target is None:
            here = place
            continue
        followed += 1
        if followed > _MAX_LINKS:
            raise IntegrityError("symbolic links of the tree lead in a circle", where=path)
        if target.startswith("/"):
            here = ""
        todo.extend(one for one in reversed(target.split("/")) if one not in {"", "."})
    return root / here[1:]


def _link_text(place: str) -> str | None:
    """Where a symbolic link leads; None for what is none, or is not there."""
    try:
        return os.readlink(place)  # noqa: PTH115 - a Path for each part of each path costs more than the call
    except OSError as error:
        if error.errno in _NO_LINK:
            return None
        raise


def is_plain(root: Path, path: str) -> bool:
    """Whether it is a regular file of the tree that no link leads to."""
    here = root
    *folders, name = [part for part in path.split("/") if part not in {"", "."}]
    for part in folders:
        here /= part
        if part == ".." or here.is_symlink() or not here.is_dir():
            return False
    try:
        return stat.S_ISREG((here / name).lstat().st_mode)
    except OSError:
        return False


def plain_files(root: Path, folder: str) -> tuple[Path, ...]:
    """The regular files that lie in a folder of the tree, by name; none when it is not there."""
    place = inside(root, folder)
    if not place.is_dir():
        return ()
    return tuple(sorted(path for path in place.iterdir() if stat.S_ISREG(path.lstat().st_mode)))


def open_regular(root: Path, path: str, *, writable: bool = False) -> BinaryIO:
    """Open a file of the tree, without waiting for whatever might be at the other end of it.

    Raises FileNotFoundError for one that is not there, IntegrityError for a folder, a pipe or a device.
    """
    kind = os.O_RDWR if writable else os.O_RDONLY
    try:
        fd = os.open(inside(root, path), kind | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise IntegrityError(
            f"it cannot be opened as a file: {error.strerror}", where=f"/{path.lstrip('/')}"
        ) from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise IntegrityError("something else is where a file should be", where=f"/{path.lstrip('/')}")
    return os.fdopen(fd, "r+b" if writable else "rb")


def read_text(root: Path, path: str) -> str:
    """The file's text, "" when there is none. Bytes that are not UTF-8 survive a `write_text`."""
    try:
        return inside(root, path).read_text(encoding="utf-8", errors="surrogateescape")
    except FileNotFoundError:
        return ""


def write_text(root: Path, path: str, text: str, *, mode: int = 0o644) -> None:
    write_bytes(root, path, text.encode("utf-8", "surrogateescape"), mode=mode)


def write_bytes(root: Path, path: str, data: bytes, *, mode: int = 0o644) -> None:
    """Write a file, with the folders that it needs. A present file keeps its owner."""
    place = inside(root, path)
    make_folder(root, os.path.dirname(path))  # noqa: PTH120
    if place.is_dir():
        raise IntegrityError("a directory is where a file should be written", where=f"/{path.lstrip('/')}")
    with place.open("wb") as file:
        file.write(data)
        os.fchmod(file.fileno(), mode)


def make_folder(root: Path, path: str, *, mode: int = 0o755) -> Path:
    """The folder, made with all above it when absent."""
    place = inside(root, path)
    missing = []
    while not place.is_dir():
        if os.path.lexists(place):
            raise IntegrityError("something else is where a folder should be", where=f"/{path.lstrip('/')}")
        missing.append(place)
        place = place.parent
    for folder in reversed(missing):
        folder.mkdir()
        folder.chmod(mode)
    return inside(root, path)


def make_link(root: Path, path: str, target: str) -> None:
    """A symlink, in the place of whatever file or link was there."""
    make_folder(root, os.path.dirname(path))  # noqa: PTH120
    place = inside(root, path, follow=False)
    remove(place)
    place.symlink_to(target)


def remove(place: Path) -> None:
    """Remove a file, a link or a whole folder; absent is fine."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)


def walk(root: Path, folder: str = "") -> Iterator[tuple[str, os.stat_result]]:
    """Every path below `folder` with its own status, a directory before what is in it; follows no link."""
    start = root / folder if folder else root
    if not start.is_dir() or start.is_symlink():
        return
    base = os.fspath(root)
    folders = [folder]
    while folders:
        here = folders.pop()
        with os.scandir(f"{base}/{here}") as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                path = f"{here}/{entry.name}" if here else entry.name
                status = entry.stat(follow_symlinks=False)
                yield path, status
                if stat.S_ISDIR(status.st_mode):
                    folders.append(path)


def write_all(fd: int, data: memoryview, begin: int, size: int) -> None:
    """Write `size` bytes of `data`. write(2) stops at 2 GiB, and at less when a disk fills up.

    No part of `data` is held when it fails: what is mapped can be closed, and the error is the one that happened.
    """
    end = begin + size
    while begin < end:
        with data[begin:end] as rest:
            begin += os.write(fd, rest)
