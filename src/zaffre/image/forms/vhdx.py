# SPDX-License-Identifier: Apache-2.0
"""The headers of a VHDX: identities and sequence numbers that qemu-img takes from chance are settled.

Source: [MS-VHDX] "Virtual Hard Disk v2 (VHDX) File Format". 2.2.2: two headers of 4 KiB, with a CRC-32C each, of which
the one with the higher sequence number counts; a log whose GUID is zero in it has nothing to be replayed (2.3). 2.2.3
and 2.6: the region table leads to the metadata, of which "Page 83 Data" is the disk's identity. All is little-endian.
"""

from __future__ import annotations

import struct
import uuid
from functools import cache
from pathlib import Path
from typing import BinaryIO

from zaffre.errors import IntegrityError
from zaffre.image.forms.stamp import Stamp

SIGNATURE = b"vhdxfile"

_HEADERS = (64 << 10, 128 << 10)
_HEADER_SIZE = 4 << 10
_REGIONS = 192 << 10
_METADATA = uuid.UUID("8b7ca206-4790-4b9a-b8fe-575f050f886e")
_PAGE_83 = uuid.UUID("beca12ab-b2e6-4523-93ef-c309e000c746")
_TABLE_HEADS = {b"regi": 16, b"meta": 32}
_MOST_ENTRIES = 2047
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, reflected


def settle_vhdx(path: Path, stamp: Stamp) -> None:
    """Give headers and metadata the stamp's identities, and empty the log, which has none that count.

    Raises IntegrityError for what is no VHDX, or one whose log has still to be replayed.
    """
    with path.open("r+b") as file:
        for number, at in enumerate(_HEADERS, start=1):
            _settle_header(file, at, number, stamp, path.name)
        regions = _table(file, _REGIONS, b"regi", path.name)
        metadata = _entry(regions, _METADATA, path.name)
        (offset,) = struct.unpack_from("<Q", metadata, 16)
        items = _table(file, offset, b"meta", path.name)
        (page_83,) = struct.unpack_from("<I", _entry(items, _PAGE_83, path.name), 16)
        file.seek(offset + page_83)
        file.write(stamp.uuid("VHDX disk").bytes_le)


def _settle_header(file: BinaryIO, at: int, number: int, stamp: Stamp, name: str) -> None:
    file.seek(at)
    header = bytearray(file.read(_HEADER_SIZE))
    if not header.startswith(b"head") or len(header) != _HEADER_SIZE:
        raise IntegrityError("it is no VHDX: a header is not where it should be", where=name)
    if any(header[48:64]):
        raise IntegrityError("the VHDX was not closed: its log has still to be replayed", where=name)
    log_size, log_at = struct.unpack_from("<IQ", header, 68)
    struct.pack_into("<Q", header, 8, number)
    header[16:32] = stamp.uuid("VHDX file").bytes_le
    header[32:48] = stamp.uuid("VHDX data").bytes_le
    header[4:8] = bytes(4)
    struct.pack_into("<I", header, 4, crc32c(header))
    file.seek(at)
    file.write(header)
    file.seek(log_at)
    file.write(bytes(log_size))


def _table(file: BinaryIO, at: int, signature: bytes, name: str) -> list[bytes]:
    """The entries of 32 bytes each of a table at `at`; their number stands before them."""
    head = _TABLE_HEADS[signature]
    file.seek(at)
    start = file.read(head)
    if not start.startswith(signature):
        raise IntegrityError("it is no VHDX: a table is not where it should be", where=name)
    count = struct.unpack_from("<I", start, 8)[0] if signature == b"regi" else struct.unpack_from("<H", start, 10)[0]
    data = file.read(32 * min(count, _MOST_ENTRIES))
    return [data[place : place + 32] for place in range(0, len(data), 32)]


def _entry(entries: list[bytes], identity: uuid.UUID, name: str) -> bytes:
    for entry in entries:
        if entry[:16] == identity.bytes_le:
            return entry
    raise IntegrityError(f"it is no VHDX: there is no entry {identity}", where=name)


def crc32c(data: bytes | bytearray) -> int:
    """CRC-32C (RFC 3720, appendix B.4), for a few kilobytes."""
    table, value = _crc_table(), 0xFFFFFFFF
    for byte in data:
        value = table[(value ^ byte) & 0xFF] ^ value >> 8
    return value ^ 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    rows = []
    for row in range(256):
        value = row
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        rows.append(value)
    return tuple(rows)
