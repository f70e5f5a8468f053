# SPDX-License-Identifier: Apache-2.0
"""Layouts of small images, made by the product's own writer."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Mapping
from pathlib import Path

from zaffre.digest import sha256_bytes
from zaffre.image.layout import Layer, blob_path, pack_image

EPOCH = 1_700_000_000


def layout(folder: Path, architecture: str, *, size: int = 1 << 20, seed: int = 0) -> Path:
    """One image with one layer of `size` bytes that no compression makes smaller."""
    return layout_of(
        folder, architecture, {"content": random.Random(f"{architecture} {seed}").randbytes(size)}, seed=seed
    )


def layout_of(folder: Path, architecture: str, files: Mapping[str, bytes], *, seed: int = 0) -> Path:
    """One image with one layer of these files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    data = buffer.getvalue()
    digest = sha256_bytes(data)
    packed = pack_image(
        [Layer(digest, len(data), digest, "")],
        architecture=architecture,
        epoch=EPOCH,
        config={"Cmd": ["/content"]},
        annotations={"org.opencontainers.image.title": "test", "org.opencontainers.image.version": str(seed)},
        created_by="a test",
        reference={},
    )
    for name, content in {**packed.files, blob_path(digest): data}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder
