# SPDX-License-Identifier: Apache-2.0
"""A file that somebody wants in another form: what it is, whether it is whole, and the raw disk in it.

It may be anybody's file. Its form is told by its own first and last bytes and never guessed by a tool; what refers to
another file is refused, and tools see nothing but the one file.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zaffre.errors import DefinitionError, IntegrityError, ToolError
from zaffre.image.forms import vhd, vhdx, vmdk
from zaffre.image.forms.disk import read_back
from zaffre.sandbox import Mount, Sandbox

SECTOR = 512
RAW, ZSTD = "raw", "zstd"
LARGEST = 64 << 40
"""Bytes: no disk that is claimed to be larger is looked at."""

_MAGICS = ((b"QFI\xfb", "qcow2"), (vhdx.SIGNATURE, "vhdx"), (vmdk.MAGIC, "vmdk"), (b"\x28\xb5\x2f\xfd", ZSTD))
_GPT = struct.Struct("<8sIIIIQQ")
_SECONDS = 7200.0
_ELSEWHERE = ("backing-filename", "full-backing-filename")


def driver_of(path: Path) -> str:
    """The form of a file: a driver of qemu-img's, or "zstd". DefinitionError for what is no disk image."""
    with path.open("rb") as file:
        head = file.read(2 * SECTOR)
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - vhd.FOOTER))
        tail = file.read(vhd.FOOTER)
    for magic, driver in _MAGICS:
        if head.startswith(magic):
            return driver
    if tail.startswith(vhd.COOKIE):
        return "vpc"
    if head[SECTOR:].startswith(b"EFI PART"):
        return RAW
    raise DefinitionError(
        "this is no disk image that can be converted",
        where=str(path),
        resolution="give an image of the definition, or a file that is raw (with a GUID partition table), raw.zst, "
        "qcow2, vhd, vhdx or vmdk",
    )


def require_whole(path: Path, *, where: Path) -> None:
    """Raise IntegrityError unless a raw disk has its partition table, and reaches as far as that says.

    Source: UEFI specification 2.10, 5.3: the header names the block of its copy, which is the disk's last one.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(SECTOR)
        header = file.read(SECTOR)
    if not header.startswith(b"EFI PART") or len(header) < SECTOR:
        raise IntegrityError("there is no GUID partition table on the disk in it", where=str(where))
    _, _, length, checksum, _, _, last = _GPT.unpack_from(header)
    if not 92 <= length <= SECTOR or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != checksum:
        raise IntegrityError("its partition table has a wrong checksum", where=str(where))
    if (last + 1) * SECTOR > size:
        raise IntegrityError(
            f"it is cut off: the disk has {(last + 1) * SECTOR} bytes, and {size} are there",
            where=str(where),
            resolution="fetch or copy it again, and compare its SHA-256",
        )


@contextmanager
def raw_disk(path: Path, *, scratch: Path, sandbox: Sandbox) -> Iterator[Path]:
    """The raw disk that a file holds, the file itself if it is one; `scratch` is a folder for it while it is used.

    Raises DefinitionError for what is no disk image or refers to another file, IntegrityError for a damaged one.
    """
    driver = driver_of(path)
    if driver == RAW:
        require_whole(path, where=path)
        yield path
        return
    target = scratch / "disk.raw"
    try:
        if driver == ZSTD:
            _unpack(path, target, sandbox=sandbox)
        else:
            _require_alone(path, driver, sandbox=sandbox)
            _read(path, driver, target, sandbox=sandbox)
        require_whole(target, where=path)
        yield target
    finally:
        target.unlink(missing_ok=True)


def _require_alone(path: Path, driver: str, *, sandbox: Sandbox) -> None:
    try:
        done = sandbox.run(
            ["qemu-img", "info", "--output=json", "-f", driver, "/job/disk"],
            mounts=[Mount(path, "/job/disk")],
            timeout=_SECONDS,
        )
    except ToolError as error:
        raise _damaged(path, error) from error
    told = json.loads(done.stdout)
    special = told.get("format-specific", {}).get("data", {})
    if any(told.get(key) for key in _ELSEWHERE) or special.get("data-file") or told.get("encrypted"):
        raise DefinitionError(
            "the image is not whole in itself: it is encrypted, or refers to another file",
            where=str(path),
            resolution="make one of it that stands alone, where it comes from (`qemu-img convert` does that)",
        )
    if told["virtual-size"] > LARGEST:
        raise DefinitionError("it claims to be larger than any disk that can be converted", where=str(path))


def _read(path: Path, driver: str, target: Path, *, sandbox: Sandbox) -> None:
    try:
        read_back(driver, path, target, sandbox=sandbox)
    except ToolError as error:
        raise _damaged(path, error) from error


def _unpack(path: Path, target: Path, *, sandbox: Sandbox) -> None:
    """As a file of holes, where there are zeros."""
    try:
        sandbox.run(
            ["zstd", "--quiet", "--decompress", "--sparse", "-o", f"/job/out/{target.name}", "/job/disk.zst"],
            mounts=[Mount(path, "/job/disk.zst"), Mount(target.parent, "/job/out", writable=True)],
            timeout=_SECONDS,
        )
    except ToolError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: ToolError) -> IntegrityError:
    return IntegrityError(
        "it cannot be read to its end: it is cut off or damaged",
        where=str(path),
        details=error.details,
        resolution="fetch or copy it again, and compare its SHA-256",
    )
