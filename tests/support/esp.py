# SPDX-License-Identifier: Apache-2.0
"""The EFI system partition on a machine's disk, damaged as a power cut can leave it while a kernel image is written."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox

LEFT = "EFI/Linux/.#sysupdate-cut.efi"
"""A file whose chain of clusters ends in the middle: whoever removes it finds a file system to be out of order."""

_OFFSET, _SIZE = 1 << 20, 96 << 20
_SECONDS = 120.0


def damage_esp(disk: Path, image: Path, folder: Path, sandbox: Sandbox) -> None:
    """Put such a file on the ESP of a machine that is off. `disk` is laid over `image`; `folder` is for our work."""
    mounts = [Mount(disk.parent, "/run/machine", writable=True), Mount(image, "/run/images/root")]
    mounts.append(Mount(folder, "/job", writable=True))

    def run(*words: str) -> str:
        return sandbox.run(words, mounts=mounts, timeout=_SECONDS).stdout.decode()

    # qemu-img counts from the beginning, with what is skipped.
    blocks = ("bs=1M", f"skip={_OFFSET >> 20}", f"count={(_OFFSET + _SIZE) >> 20}")
    run("qemu-img", "dd", "-f", "qcow2", "-O", "raw", *blocks, f"if=/run/machine/{disk.name}", "of=/job/esp.img")
    (folder / "left").write_bytes(b"cut off" * 10_000)
    assert (folder / "esp.img").stat().st_size == _SIZE
    run("mcopy", "-o", "-i", "/job/esp.img", "/job/left", f"::{LEFT}")
    found = re.search(r"<(\d+)", run("mshowfat", "-i", "/job/esp.img", f"::{LEFT}"))
    assert found is not None
    _end_early(folder / "esp.img", int(found[1]) + 10)
    write = f"write -q -s /job/esp.img {_OFFSET} {_SIZE}"
    run("qemu-io", "-f", "qcow2", "-c", write, f"/run/machine/{disk.name}")
    (folder / "esp.img").unlink()


def _end_early(esp: Path, cluster: int) -> None:
    """Say in each table of the file system (FAT32) that a cluster in the middle of a file is free."""
    with esp.open("r+b") as file:
        sector, reserved, tables = struct.unpack_from("<H1xHB", file.read(64), 11)
        file.seek(36)
        (length,) = struct.unpack("<I", file.read(4))
        for number in range(tables):
            file.seek((reserved + number * length) * sector + cluster * 4)
            assert file.read(4) != bytes(4)
            file.seek(-4, 1)
            file.write(bytes(4))
