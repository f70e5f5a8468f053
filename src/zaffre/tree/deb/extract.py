# SPDX-License-Identifier: Apache-2.0
"""A plan becomes files: written from the packages' uncompressed archives, each exactly once, never through a link.

Safe because of what `merge` guarantees: every parent of an entry is a directory of the plan, and the root is new.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.tree.deb.merge import NO_PACKAGE, Entry, Plan
from zaffre.tree.deb.model import Kind
from zaffre.tree.rootfs import write_all

_CAPABILITY = "security.capability"


def extract_plan(plan: Plan, archives: Sequence[Path], root: Path, *, epoch: int, jobs: int | None = None) -> None:
    """Write the plan below `root`, an empty directory, as its packages have it: content, mode, owner and mtime.

    `archives` are the data archives by package number. What no package has gets the time `epoch`.
    Directories keep the time of their making: configuration changes them anyway, and packing sets it.
    Owners need root, or a user namespace with subordinate ids.
    """
    base = os.fspath(root)
    for entry in plan.entries:
        if entry.kind is Kind.DIRECTORY:
            path = f"{base}/{entry.path}"
            if entry.path:
                os.mkdir(path, 0o700)  # noqa: PTH102
            if entry.uid or entry.gid:
                _own(path, entry)
            os.chmod(path, entry.mode)  # noqa: PTH101
    files = [entry for entry in plan.entries if entry.kind is Kind.FILE]
    workers = jobs or os.cpu_count() or 1
    with ExitStack() as opened:
        content = [opened.enter_context(_Content(path)) for path in archives]
        with ThreadPoolExecutor(workers, thread_name_prefix="extract") as pool:
            # Shares of equal count: a page fault and a write release the interpreter's lock, little else does.
            for done in [pool.submit(_write_files, files[n::workers], content, base) for n in range(workers)]:
                done.result()
    for entry in plan.entries:
        path = f"{base}/{entry.path}"
        if entry.kind is Kind.SYMLINK:
            os.symlink(entry.target, path)  # noqa: PTH211
            if entry.uid or entry.gid:
                _own(path, entry)
            time = epoch if entry.package == NO_PACKAGE else entry.mtime
            os.utime(path, (time, time), follow_symlinks=False)
    # A hard link may lead to another one: shorter chains first is the order of the paths' own archive, not of names.
    pending = [entry for entry in plan.entries if entry.kind is Kind.HARDLINK]
    while pending:
        rest = [entry for entry in pending if not _link(entry, base)]
        if len(rest) == len(pending):
            raise AssertionError(f"hard links without a file: {rest[0].path}")
        pending = rest


def _link(entry: Entry, base: str) -> bool:
    try:
        os.link(f"{base}/{entry.target}", f"{base}/{entry.path}", follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


class _Content:
    """A data archive, mapped: one write(2) a file straight from the page cache, whatever the file system.

    copy_file_range(2) is no quicker here: contents begin at multiples of 512 bytes, where nothing can be shared,
    and between file systems it falls back to the same copy.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> memoryview:
        with self._path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._view = memoryview(self._map)
        return self._view

    def __exit__(self, *_: object) -> None:
        self._view.release()
        self._map.close()


def _write_files(entries: Sequence[Entry], content: Sequence[memoryview], base: str) -> None:
    for entry in entries:
        path = f"{base}/{entry.path}"
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            write_all(fd, content[entry.package], entry.offset, entry.size)
            if entry.uid or entry.gid:
                os.fchown(fd, entry.uid, entry.gid)
            os.fchmod(fd, entry.mode)
            if entry.capability:
                os.setxattr(fd, _CAPABILITY, bytes.fromhex(entry.capability))
            os.utime(fd, (entry.mtime, entry.mtime))
        finally:
            os.close(fd)


def _own(path: str, entry: Entry) -> None:
    try:
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
    except PermissionError as error:
        raise DefinitionError(
            f"this process may not give a file to {entry.uid}:{entry.gid}",
            where=f"/{entry.path}",
            resolution="run as root, or with subordinate ids: `zaffre doctor` says what is missing",
        ) from error
