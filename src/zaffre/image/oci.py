# SPDX-License-Identifier: Apache-2.0
"""A container image as an archive in the OCI image layout (image-spec 1.1), made of files of a tree.

Uncompressed, one layer, reproducible: names sorted, owners root, every time stamp at the build's epoch.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from zaffre.digest import JSON, canonical_json, sha256_bytes

_MEDIA = "application/vnd.oci.image"


def write_oci_archive(
    target: Path, *, reference: str, files: Mapping[str, Path], command: Sequence[str], architecture: str, epoch: int
) -> None:
    """Write `target`. `files` maps absolute paths inside the container to regular files, kept with their x bit."""
    layer = _layer(files, epoch)
    created = datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    config = canonical_json(
        {
            "architecture": architecture,
            "os": "linux",
            "created": created,
            "config": {"Cmd": list(command), "User": "65532:65532"},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{sha256_bytes(layer)}"]},
            "history": [{"created": created, "created_by": "zaffre"}],
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _descriptor(config, f"{_MEDIA}.config.v1+json"),
            "layers": [_descriptor(layer, f"{_MEDIA}.layer.v1.tar")],
        }
    )
    index = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.index.v1+json",
            "manifests": [
                {
                    **_descriptor(manifest, f"{_MEDIA}.manifest.v1+json"),
                    "platform": {"architecture": architecture, "os": "linux"},
                    "annotations": {
                        "org.opencontainers.image.ref.name": reference.rpartition(":")[2],
                        "io.containerd.image.name": reference,
                    },
                }
            ],
        }
    )
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        _add(archive, "oci-layout", canonical_json({"imageLayoutVersion": "1.0.0"}), epoch)
        for blob in (config, layer, manifest):
            _add(archive, f"blobs/sha256/{sha256_bytes(blob)}", blob, epoch)
        _add(archive, "index.json", index, epoch)


def _descriptor(data: bytes, media_type: str) -> dict[str, JSON]:
    return {"mediaType": media_type, "digest": f"sha256:{sha256_bytes(data)}", "size": len(data)}


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
