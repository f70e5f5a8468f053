# SPDX-License-Identifier: Apache-2.0
"""Small disks to convert: a partition table by sfdisk, some content, and holes."""

from __future__ import annotations

import random
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox

MIB = 1 << 20


def make_disk(path: Path, sandbox: Sandbox, *, size: int = 64 * MIB) -> Path:
    """A sparse raw disk of `size` bytes, of which about 3 MiB hold something."""
    with path.open("wb") as file:
        file.truncate(size)
    sandbox.run(
        ["sfdisk", "--quiet", "/job/disk"],
        mounts=[Mount(path, "/job/disk", writable=True)],
        stdin=b"label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n"
        b"start=2048, size=8192, type=L, uuid=66666666-7777-8888-9999-aaaaaaaaaaaa\n",
        timeout=60.0,
    )
    with path.open("r+b") as file:
        for number in range(3):
            file.seek((2 + 9 * number) * MIB + 4096 * number)
            # Half of it compresses well, and half of it not at all.
            file.write(bytes(range(256)) * 2048 + random.Random(number).randbytes(MIB // 2))
    return path
