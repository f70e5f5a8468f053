# SPDX-License-Identifier: Apache-2.0
"""A directory becomes an ext4 file system, by mke2fs(8) of the tools tree, without being mounted.

It is made small and grows on the machine's disk. So what mke2fs derives from the size, and growing does not change, is
given to it: the sizes of block and journal, the share of inodes, the room for group descriptors up to 1 TiB (beyond,
the kernel finds another place for them).
"""

from __future__ import annotations

import uuid
from pathlib import Path

from zaffre.errors import DefinitionError, ToolError
from zaffre.sandbox import Mount, Sandbox

_SECONDS = 1800.0
_BLOCK = 4096
_BYTES_PER_INODE = 16384
_MIB = 1 << 20
_JOURNAL_MIB = 32
_SMALLEST_JOURNAL_MIB = 4
_LARGEST = 1 << 40
# All tables are written now, so that the kernel has none to write at the first boot.
_EXTENDED = f"lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,resize={_LARGEST // _BLOCK}"
_FULL = ("Could not allocate block", "No space left", "No free space")


def make_ext4(
    source: Path, target: Path, *, size: int, label: str, seed: uuid.UUID, epoch: int, sandbox: Sandbox
) -> None:
    """Write `target`, a sparse file of `size` bytes, from `source` with its owners, modes, times and attributes.

    The same tree, size and seed give the same bytes. Raises DefinitionError when the tree does not fit.
    """
    target.touch()
    try:
        sandbox.run(
            [
                *("mke2fs", "-q", "-t", "ext4", "-L", label, "-U", str(seed), "-d", "/job/tree"),
                *("-b", str(_BLOCK), "-i", str(_BYTES_PER_INODE), "-J", f"size={_journal_mib(size)}"),
                *("-E", f"{_EXTENDED},hash_seed={seed}", "-m", "1"),
                *("/job/root.ext4", f"{size // 1024}k"),
            ],
            mounts=[Mount(source, "/job/tree"), Mount(target, "/job/root.ext4", writable=True)],
            env={"SOURCE_DATE_EPOCH": str(epoch), "MKE2FS_DEVICE_SECTSIZE": "512"},
            timeout=_SECONDS,
        )
    except ToolError as error:
        if any(word in (error.details or "") for word in _FULL):
            raise DefinitionError(
                f"the root does not fit a partition of {size / 1e6:.1f} MB",
                where="disk.root",
                details=error.details,
                resolution="raise disk.root, or make the image smaller: `zaffre inventory` shows what takes the room",
            ) from error
        raise


def _journal_mib(size: int) -> int:
    """One size, whatever the root's; less in one that is smaller than three of them, as mke2fs refuses a journal that
    takes half of the file system, and one below 4 MiB.
    """
    mib = size // _MIB
    return _JOURNAL_MIB if mib >= 3 * _JOURNAL_MIB else max(_SMALLEST_JOURNAL_MIB, mib // 8)
