# SPDX-License-Identifier: Apache-2.0
"""A container image as an archive in the OCI image layout, made of files of a tree.

Uncompressed, one layer, reproducible: names sorted, owners root, every time stamp at the build's epoch.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from zaffre.digest import sha256_bytes
from zaffre.image.layout import Layer, blob_path, pack_image, write_archive


def write_oci_archive(
    target: Path, *, reference: str, files: Mapping[str, Path], command: Sequence[str], architecture: str, epoch: int
) -> None:
    """Write `target`. `files` maps absolute paths inside the container to regular files, kept with their x bit."""
    layer = _layer(files, epoch)
    digest = sha256_bytes(layer)
    packed = pack_image(
        [Layer(digest, len(layer), digest, "")],
        architecture=architecture,
        epoch=epoch,
        config={"Cmd": list(command), "User": "65532:65532"},
        annotations={},
        created_by="zaffre",
        reference={
            "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
            "io.containerd.image.name": reference,
        },
    )
    write_archive(target, {**packed.files, blob_path(digest): layer}, epoch=epoch)


def _layer(files: Mapping[str, Path], epoch: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as layer:
        folders = {str(parent) for path in files for parent in Path(path).parents if str(parent) != "/"}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder.lstrip("/"))
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, epoch
            layer.addfile(entry)
        for path, source in sorted(files.items()):
            executable = bool(source.stat().st_mode & 0o111)
            _add(layer, path.lstrip("/"), source.read_bytes(), epoch, 0o755 if executable else 0o644)
    return buffer.getvalue()


def _add(archive: tarfile.TarFile, name: str, data: bytes, epoch: int, mode: int = 0o644) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mtime, entry.mode = len(data), epoch, mode
    archive.addfile(entry, io.BytesIO(data))
