# SPDX-License-Identifier: Apache-2.0
"""When a store makes room by itself: before it is the store that fills the disk."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_SHARE = 10
_MOST = 30 * 10**9
_FLOOR = 8 * 10**9


@dataclass(frozen=True)
class Room:
    """A file system's size, and what of it is left to us, in bytes."""

    total: int
    free: int


def room_at(path: Path) -> Room:
    """Of the file system that holds `path` (statvfs(3): `f_bavail`, without what is kept for root)."""
    status = os.statvfs(path)
    return Room(status.f_blocks * status.f_frsize, status.f_bavail * status.f_frsize)


def wanted_free(room: Room) -> int:
    """What a store leaves free when nobody says otherwise: a tenth of the file system, but not above 30 GB."""
    return min(room.total // _SHARE, _MOST)


def size_to_keep(held: int, room: Room, wanted: int) -> int:
    """What of a store of `held` bytes may stay so that `wanted` bytes become free, and half as many on top.

    More goes than must, so that the next command does not begin with the same again. Never below 8 GB, about what the
    reference distribution takes, or half of a smaller file system: a smaller store is not what fills the disk.
    """
    floor = min(_FLOOR, room.total // 2)
    return max(held - max(0, wanted + wanted // 2 - room.free), min(held, floor))
