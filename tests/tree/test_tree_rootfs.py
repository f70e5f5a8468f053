# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import mmap
import os
from pathlib import Path

import pytest

from zaffre.tree.rootfs import write_all


def test_a_part_is_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "file"
    with file.open("wb") as target:
        write_all(target.fileno(), memoryview(b"one two three"), 4, 3)
        write_all(target.fileno(), memoryview(b""), 0, 0)
    assert file.read_bytes() == b"two"


def test_a_full_disk_is_what_is_told_and_not_that_something_is_mapped(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    full = os.open("/dev/full", os.O_WRONLY)
    try:
        with (
            pytest.raises(OSError, match="No space left") as caught,
            file.open("rb") as source,
            mmap.mmap(source.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            memoryview(mapped) as view,
        ):
            write_all(full, view, 0, 7)
    finally:
        os.close(full)
    assert caught.value.errno == errno.ENOSPC
