# SPDX-License-Identifier: Apache-2.0
"""Read a GUID partition table. Source of the format: UEFI specification 2.10, chapter 5.3.

Read only, from an image with 512-byte sectors, and only the first copy of the table: what firmware and the
kernel use. Both checksums must hold.
"""

from __future__ import annotations

import os
import struct
import uuid
import zlib
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import IntegrityError

SECTOR = 512

ESP = uuid.UUID("c12a7328-f81f-11d2-ba4b-00a0c93ec93b")

_HEADER = struct.Struct("<8sIIIIQQQQ16sQIII")
_ENTRY = struct.Struct("<16s16sQQQ72s")
_MAX_ENTRIES = 1024
_MAX_ENTRY_SIZE = 4096


@dataclass(frozen=True)
class Partition:
    """`offset` and `size` in bytes."""

    type: uuid.UUID
    uuid: uuid.UUID
    label: str
    offset: int
    size: int


def read_partitions(path: Path) -> tuple[Partition, ...]:
    """The used entries of the table, in table order. Raises IntegrityError if there is no sound table, OSError."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(SECTOR)
        header = file.read(SECTOR)
        if len(header) < _HEADER.size or not header.startswith(b"EFI PART"):
            raise IntegrityError("there is no GUID partition table", where=str(path))
        (_, _, length, checksum, _, _, _, _, _, _, entries_at, count, width, entries_checksum) = _HEADER.unpack_from(
            header
        )
        # The checksum is taken over the header with its own field as zeros.
        if not _HEADER.size <= length <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:
            raise IntegrityError("the partition table's header has a wrong checksum", where=str(path))
        if count > _MAX_ENTRIES or not _ENTRY.size <= width <= _MAX_ENTRY_SIZE or entries_at * SECTOR > end:
            raise IntegrityError("the partition table claims impossible sizes", where=str(path))
        file.seek(entries_at * SECTOR)
        table = file.read(count * width)
        if len(table) != count * width or zlib.crc32(table) != entries_checksum:
            raise IntegrityError("the partition table's entries have a wrong checksum", where=str(path))
    found = tuple(one for index in range(count) if (one := _entry(table, index * width)) is not None)
    for one in found:
        if one.size <= 0 or one.offset + one.size > end:
            raise IntegrityError(f"the partition {one.label!r} does not lie inside the image", where=str(path))
    return found


def _entry(table: bytes, at: int) -> Partition | None:
    kind, identity, first, last, _, name = _ENTRY.unpack_from(table, at)
    if kind == bytes(16):
        return None
    return Partition(
        type=uuid.UUID(bytes_le=kind),
        uuid=uuid.UUID(bytes_le=identity),
        label=name.decode("utf-16-le", errors="replace").split("\0", 1)[0],
        offset=first * SECTOR,
        size=(last - first + 1) * SECTOR,
    )
