# SPDX-License-Identifier: Apache-2.0
"""The footer of a fixed VHD: what qemu-img takes from the clock and from chance is settled. Azure's rules are held.

Source: "Virtual Hard Disk Image Format Specification" 1.0 (Microsoft, 2006), "Hard Disk Footer Format": 512 bytes at
the end of the file, big-endian, with the one's complement of the sum of its bytes. Azure's documentation, "Prepare
Linux for imaging": fixed, and the size of the disk, which is the file's without the footer, a whole number of MiB.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from zaffre.errors import IntegrityError
from zaffre.image.forms.stamp import Stamp

FOOTER = 512
COOKIE = b"conectix"
ALIGNMENT = 1 << 20
LARGEST = 2040 << 30
"""Bytes: what the format can say (2,040 GiB)."""

_BORN = 946_684_800  # 2000-01-01 00:00:00 UTC, where its clock begins
_TIME_AT, _SIZE_AT, _TYPE_AT, _SUM_AT, _ID_AT = 24, 48, 60, 64, 68
_FIXED = 2


def settle_vhd(path: Path, stamp: Stamp) -> None:
    """Give the footer the stamp's time and identity. Raises IntegrityError for what is no fixed VHD, or not aligned."""
    size = path.stat().st_size - FOOTER
    with path.open("r+b") as file:
        file.seek(-FOOTER, os.SEEK_END)
        footer = bytearray(file.read(FOOTER))
        (kind,) = struct.unpack_from(">I", footer, _TYPE_AT)
        (told,) = struct.unpack_from(">Q", footer, _SIZE_AT)
        if not footer.startswith(COOKIE) or kind != _FIXED or told != size or size % ALIGNMENT:
            raise IntegrityError(f"the VHD is not a fixed one of whole MiB: {told} bytes in {size}", where=path.name)
        struct.pack_into(">I", footer, _TIME_AT, max(0, stamp.epoch - _BORN))
        footer[_ID_AT : _ID_AT + 16] = stamp.uuid("VHD").bytes
        struct.pack_into(">I", footer, _SUM_AT, checksum(footer))
        file.seek(-FOOTER, os.SEEK_END)
        file.write(footer)


def checksum(footer: bytes | bytearray) -> int:
    """Of a footer, whose own field for it counts as zeros."""
    return ~(sum(footer) - sum(footer[_SUM_AT : _SUM_AT + 4])) & 0xFFFFFFFF
