# SPDX-License-Identifier: Apache-2.0
"""What is settled in the headers of VHD, VHDX and VMDK, byte by byte. That tools read it is tested beside."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from zaffre.digest import sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.image.forms.stamp import Stamp
from zaffre.image.forms.vhd import checksum, settle_vhd
from zaffre.image.forms.vhdx import crc32c, settle_vhdx
from zaffre.image.forms.vmdk import content_id, settle_vmdk

STAMP = Stamp(sha256_bytes(b"a disk"), 1_777_000_000)
OTHER = Stamp(sha256_bytes(b"another"), 1_777_000_000)
MIB = 1 << 20


def footer(size: int, *, kind: int = 2, stamp: bytes = b"\1\2\3\4", identity: bytes = b"x" * 16) -> bytes:
    data = bytearray(512)
    data[:8] = b"conectix"
    data[24:28] = stamp
    struct.pack_into(">QQ", data, 40, size, size)
    struct.pack_into(">I", data, 60, kind)
    data[68:84] = identity
    struct.pack_into(">I", data, 64, checksum(data))
    return bytes(data)


def vhd(path: Path, size: int, **fields: object) -> Path:
    path.write_bytes(bytes(size) + footer(size, **fields))  # type: ignore[arg-type]
    return path


def test_a_vhd_says_the_stamp_and_sums_up(tmp_path: Path) -> None:
    one = vhd(tmp_path / "one.vhd", 2 * MIB)
    other = vhd(tmp_path / "other.vhd", 2 * MIB, stamp=b"\x12\x34\x56\x78", identity=b"y" * 16)
    for path in (one, other):
        settle_vhd(path, STAMP)
    assert one.read_bytes() == other.read_bytes()
    made = one.read_bytes()[-512:]
    (seconds, told) = struct.unpack_from(">I", made, 24)[0], struct.unpack_from(">I", made, 64)[0]
    assert seconds == 1_777_000_000 - 946_684_800
    # By the specification's own words: the one's complement of the sum of all bytes but the checksum's.
    assert told == 0xFFFFFFFF - sum(byte for at, byte in enumerate(made) if not 64 <= at < 68)
    settle_vhd(other, OTHER)
    assert one.read_bytes()[-444:-428] != other.read_bytes()[-444:-428]


@pytest.mark.parametrize(
    "make",
    [
        lambda path: vhd(path, 2 * MIB, kind=3),
        lambda path: vhd(path, MIB + 512),
        lambda path: path.write_bytes(bytes(MIB)),
        lambda path: path.write_bytes(bytes(MIB) + footer(2 * MIB)),
    ],
    ids=["dynamic", "not whole MiB", "no footer", "another size"],
)
def test_what_is_no_fixed_vhd_is_refused(make: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "bad.vhd"
    make(path)
    with pytest.raises(IntegrityError, match="not a fixed one of whole MiB"):
        settle_vhd(path, STAMP)


def test_crc32c_is_castagnolis() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43


def test_a_vhdx_whose_log_counts_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "open.vhdx"
    header = bytearray(4096)
    header[:4] = b"head"
    header[48:64] = b"g" * 16
    path.write_bytes(b"vhdxfile".ljust(64 << 10, b"\0") + bytes(header))
    with pytest.raises(IntegrityError, match="its log has still to be replayed"):
        settle_vhdx(path, STAMP)
    path.write_bytes(b"vhdxfile")
    with pytest.raises(IntegrityError, match="no VHDX"):
        settle_vhdx(path, STAMP)


def vmdk(path: Path, text: bytes) -> Path:
    head = bytearray(512)
    head[:4] = b"KDMV"
    struct.pack_into("<QQ", head, 28, 1, 2)
    path.write_bytes(bytes(head) + text.ljust(1024, b"\0"))
    return path


def test_the_content_id_of_a_vmdk_has_eight_digits(tmp_path: Path) -> None:
    text = b'# Disk DescriptorFile\nversion=1\nCID=%b\nparentCID=ffffffff\ncreateType="streamOptimized"\n'
    one = vmdk(tmp_path / "one.vmdk", text % b"1a2b")
    other = vmdk(tmp_path / "other.vmdk", text % b"deadbeef")
    for path in (one, other):
        settle_vmdk(path, STAMP)
    assert one.read_bytes() == other.read_bytes()
    assert b"\nCID=%08x\nparentCID=ffffffff\n" % content_id(STAMP) in one.read_bytes()
    assert content_id(STAMP) != content_id(OTHER)


@pytest.mark.parametrize("text", [b"nothing", b"CID=1\nCID=2\n", b"CID=123456789\n"])
def test_a_descriptor_without_one_content_id_is_refused(text: bytes, tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="has not one content id"):
        settle_vmdk(vmdk(tmp_path / "bad.vmdk", text), STAMP)
