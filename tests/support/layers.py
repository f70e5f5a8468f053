# SPDX-License-Identifier: Apache-2.0
"""Layers of container images, however they are compressed."""

from __future__ import annotations

import gzip
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

import zstandard

from zaffre.oci import LAYER, Descriptor


def plain_layer(layout: Path, layer: Descriptor) -> bytes:
    """The archive in a layer, whose media type says how it is packed."""
    packed = (layout / layer.path).read_bytes()
    unpacked = {
        LAYER: bytes,
        f"{LAYER}+gzip": gzip.decompress,
        f"{LAYER}+zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
    }
    return unpacked[layer.media_type](packed)


@contextmanager
def open_layer(layout: Path, layer: Descriptor) -> Iterator[tarfile.TarFile]:
    with TemporaryFile() as file:
        file.write(plain_layer(layout, layer))
        file.seek(0)
        with tarfile.open(fileobj=file) as tar:
            yield tar
