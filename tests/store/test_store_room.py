# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from support.trouble import small_disk
from zaffre.store import Store
from zaffre.store.room import Room, size_to_keep, wanted_free

__all__ = ["small_disk"]

GB = 10**9
MIB = 2**20


@pytest.mark.parametrize(("total", "free"), [(100 * GB, 10 * GB), (4000 * GB, 30 * GB), (8 * MIB, 8 * MIB // 10)])
def test_a_tenth_of_the_disk_stays_free_but_not_more_than_30_gb(total: int, free: int) -> None:
    assert wanted_free(Room(total, 0)) == free


@pytest.mark.parametrize(
    ("held", "free", "kept"),
    [
        (60 * GB, 9 * GB, 54 * GB),  # 15 GB are to be free: 6 more
        (60 * GB, 0, 45 * GB),
        (12 * GB, 0, 8 * GB),  # it is something else that fills the disk
        (3 * GB, 0, 3 * GB),
    ],
)
def test_more_goes_than_must_and_a_small_store_stays(held: int, free: int, kept: int) -> None:
    assert size_to_keep(held, Room(100 * GB, free), 10 * GB) == kept


def test_a_store_makes_room_before_the_disk_is_full(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    blobs = [store.add_bytes(os.urandom(MIB)) for _ in range(7)]
    for number, blob in enumerate(blobs):
        then = time.time() - 3600 * (10 - number)
        os.utime(store.path(blob), (then, then))
    assert store.make_room(MIB // 2) is None
    report = store.make_room(2 * MIB)
    assert report is not None
    assert report.freed_bytes >= MIB
    assert [store.has(blob) for blob in blobs] == sorted(store.has(blob) for blob in blobs)  # the oldest went
    assert store.has(blobs[-1])
    assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize >= 2 * MIB
    assert store.make_room(2 * MIB) is None


def test_a_store_that_is_small_beside_its_disk_stays_whole(small_disk: Path) -> None:
    store = Store(small_disk / "store")
    blob = store.add_bytes(os.urandom(MIB))
    (small_disk / "other").write_bytes(os.urandom(6 * MIB))
    report = store.make_room(4 * MIB)
    assert report is not None
    assert not report.removed
    assert store.has(blob)
