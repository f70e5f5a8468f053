# SPDX-License-Identifier: Apache-2.0
"""The store's own failures, and the translation of a full file system into words."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zaffre.errors import DiskFullError, IntegrityError, WorldError

_FULL = {errno.ENOSPC, errno.EDQUOT}


class MissingBlobError(WorldError):
    """A blob that was asked for is not in the store: fetch or build it."""


class CorruptBlobError(IntegrityError):
    """A blob did not have its digest. It has been taken out of the store, so that running again replaces it."""


def mount_point(path: Path) -> Path:
    """Where the file system that holds `path` (or its nearest existing parent) is mounted."""
    here = Path(os.path.abspath(path))  # noqa: PTH100 - resolve() fails where a parent is unreadable
    while not here.exists():
        here = here.parent
    while not here.is_mount() and here != here.parent:
        here = here.parent
    return here


def disk_full_error(path: Path) -> DiskFullError:
    """The error for a file system without room, in words that name it. What was half written is the caller's."""
    mount = mount_point(path)
    usage = os.statvfs(mount)
    return DiskFullError(
        f"no room left on the file system {mount}",
        where=str(path),
        # Not what is free: some of what was half written is gone already, some not yet.
        details=f"it holds {usage.f_blocks * usage.f_frsize / 1e6:.1f} MB; what was half written has been removed",
        resolution="make room: `zaffre store gc` frees what the store no longer needs "
        "(or point ZAFFRE_STORE or --out to a larger file system); then run the same command again",
    )


def require_room(path: Path, size: int) -> None:
    """Raise DiskFullError if the file system of `path` has less than `size` bytes left.

    For programs that clean up when they fail: afterwards nobody sees that the disk was full.
    """
    usage = os.statvfs(mount_point(path))
    if usage.f_bavail * usage.f_frsize < size:
        raise disk_full_error(path)


def is_disk_full(error: OSError) -> bool:
    return error.errno in _FULL


@contextmanager
def disk_full_guard(path: Path) -> Iterator[None]:
    """Turns ENOSPC and EDQUOT into DiskFullError. `path` names the file system when the error itself does not."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        place = error.filename2 or error.filename
        raise disk_full_error(Path(place) if isinstance(place, str) else path) from error
