# SPDX-License-Identifier: Apache-2.0
"""A build's directory appears whole under its final name, or not at all."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zaffre.store import disk_full_guard

_PARTIAL = ".partial"
_AT_FDCWD = -100  # linux/fcntl.h
_RENAME_EXCHANGE = 2  # linux/fs.h


@contextmanager
def fresh_directory(final: Path) -> Iterator[Path]:
    """A directory beside `final` to fill; it takes the name `final` when the block ends well, and goes otherwise.

    Where the file system can exchange two names, a reader finds the old build or the new one at any time, and so
    does whoever comes after `kill -9`. Of two builds that end at once, the later one stays; both were whole.
    """
    with partial_directory(final) as partial:
        yield partial
        _take_name(partial, final)


@contextmanager
def partial_directory(final: Path) -> Iterator[Path]:
    """A directory beside `final`, which is gone when the block ends, with all that is then in it.

    The next command removes it if this one is killed (`remove_leftovers`). Raises DiskFullError.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    partial, lock = _claim(final)
    try:
        with disk_full_guard(partial):
            yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)  # after an exchange of names: the build that was there before
        os.close(lock)


def remove_leftovers(folder: Path) -> None:
    """Remove what builds that were killed left in `folder`; those of living processes stay.

    A living one holds its directory's lock (flock(2)). Numbers of processes would not do: another container
    that builds into the same folder has others.
    """
    for path in folder.glob(f".*{_PARTIAL}"):
        with suppress(OSError):  # gone meanwhile, or in use, or of a file system without locks
            lock = _lock(path)
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)


def _claim(final: Path) -> tuple[Path, int]:
    """A new directory, and its file descriptor, whose lock says that its maker lives."""
    while True:
        partial = final.parent / f".{final.name}.{secrets.token_hex(4)}{_PARTIAL}"
        partial.mkdir()
        try:
            lock = _lock(partial)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.EWOULDBLOCK}:  # taken for a leftover before it was locked
                continue
            lock = os.open(partial, os.O_RDONLY)  # a file system without locks: then nobody cleans up
        if partial.exists():
            return partial, lock
        os.close(lock)


def _lock(directory: Path) -> int:
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise
    return lock


def _take_name(partial: Path, final: Path) -> None:
    """Give `partial` the name `final`; a build that has it gets the name `partial`, or goes."""
    while True:
        try:
            if _exchange(partial, final):
                return
        except FileNotFoundError:
            pass
        else:
            shutil.rmtree(final, ignore_errors=True)
        try:
            partial.rename(final)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:  # else another build came first
                raise
        else:
            return


def _exchange(one: Path, other: Path) -> bool:
    """Let two paths change names at once (renameat2(2)); false where the kernel or the file system can't."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0:
        return True
    number = ctypes.get_errno()
    if number in {errno.EINVAL, errno.ENOSYS}:
        return False
    raise OSError(number, os.strerror(number), str(one), None, str(other))
