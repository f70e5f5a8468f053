# SPDX-License-Identifier: Apache-2.0
"""Metadata as it was published, unpacked within the size and to the digest that repomd.xml announces."""

from __future__ import annotations

from pathlib import Path

from zaffre.upstream.decompress import decompress
from zaffre.upstream.rpm.repomd import MAX_OPEN_BYTES, MetadataFile


def unpack(file: MetadataFile, packed: Path, target: Path, *, limit: int = MAX_OPEN_BYTES) -> None:
    """Put the content of a verified file at `target`. Raises ValueError when it is not what is announced."""
    if not file.suffix:
        if packed.stat().st_size > limit:
            raise ValueError(f"it has more than {limit} bytes")
        target.symlink_to(packed)
        return
    announced = file.open_size if file.open_size is not None else limit
    digest = decompress(packed, file.suffix, target, limit=min(announced, limit))
    if file.open_sha256 is not None and digest != file.open_sha256:
        raise ValueError("unpacked, it does not have the SHA-256 that repomd.xml announces")
