# SPDX-License-Identifier: Apache-2.0
"""Locks between processes, by flock(2): released by the kernel however their holder ends, kill -9 included.

A lock is an open file; threads of one process exclude each other too, as each opens its own. The file
of an exclusive lock is unlinked by its holder before release, so `locks/` does not grow; whoever waited
on the unlinked file notices (the name leads to another inode, or to none) and begins again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from zaffre.store.errors import disk_full_guard

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,150}")
_held_here: Counter[Path] = Counter()
"""How often threads of this process hold the lock of a file."""
_counting = threading.RLock()


def lock_file_name(name: str) -> str:
    """A file name for any lock name, injective for plain names and by digest for all others."""
    return name if _PLAIN.fullmatch(name) else f"x-{hashlib.sha256(name.encode()).hexdigest()}"


class HeldLock:
    """A lock that is held from construction (see `acquire`) until `release` or the end of the `with` block."""

    def __init__(self, fd: int, path: Path, *, unlink: bool) -> None:
        self._fd = fd
        self._path = path
        self._unlink = unlink

    def touch(self) -> None:
        os.utime(self._fd)

    def release(self) -> None:
        if self._fd < 0:
            return
        if self._unlink:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)
        self._fd = -1
        _count(self._path, -1)

    def abandon(self) -> None:
        """Releases, but leaves the file."""
        self._unlink = False
        self.release()

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def __del__(self) -> None:
        self.abandon()


def acquire(
    path: Path,
    *,
    shared: bool = False,
    wait: bool = True,
    keep_file: bool = False,
    on_wait: Callable[[], None] | None = None,
) -> HeldLock | None:
    """Takes the lock of that file; None when another holds it and `wait` is false.

    `on_wait` is called once before blocking on another process. `keep_file` leaves the file after an exclusive
    lock, for a lock that is taken very often; a shared lock always leaves it.
    """
    mode = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    while True:
        with disk_full_guard(path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.flock(fd, mode | fcntl.LOCK_NB)
            except BlockingIOError:
                if not wait:
                    os.close(fd)
                    return None
                if on_wait is not None and not _held_here[path]:
                    on_wait()
                    on_wait = None
                fcntl.flock(fd, mode)
            _count(path, 1)
            if _is_current(fd, path):
                return HeldLock(fd, path, unlink=not shared and not keep_file)
        except BaseException:
            os.close(fd)
            raise
        _count(path, -1)
        os.close(fd)


def _count(path: Path, change: int) -> None:
    with _counting:
        _held_here[path] += change
        if not _held_here[path]:
            del _held_here[path]


def _is_current(fd: int, path: Path) -> bool:
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(fd), named)
