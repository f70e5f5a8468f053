# SPDX-License-Identifier: Apache-2.0
"""Write container images as an OCI image layout, a folder, and the same folder as one archive.

Source of the format: the OCI image specification 1.1, whose parts image-layout.md, image-index.md, manifest.md,
config.md and annotations.md name the keys. By hand, as it is a few objects of JSON: no tool of the field writes them
without a clock or a random name of its own.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from zaffre.digest import JSON, Sha256, canonical_json, sha256_bytes
from zaffre.oci import CONFIG, INDEX, LAYER, LAYOUT_FILE, LAYOUT_TEXT, MANIFEST

_VARIANTS = {"arm64": "v8"}
_BLOBS = "blobs/sha256"


@dataclass(frozen=True)
class Layer:
    """A layer's file. `compression` is "", "gzip" or "zstd"; `diff_id` is the digest before that."""

    digest: Sha256
    size: int
    diff_id: Sha256
    compression: str

    @property
    def media_type(self) -> str:
        return f"{LAYER}+{self.compression}" if self.compression else LAYER


@dataclass(frozen=True)
class Packed:
    """What a layout has besides its layers: small files by path, relative to the layout."""

    files: Mapping[str, bytes]
    manifest: Mapping[str, JSON]
    """The descriptor of the one image."""


def pack_image(
    layers: Sequence[Layer],
    *,
    architecture: str,
    epoch: int,
    config: Mapping[str, JSON],
    annotations: Mapping[str, str],
    created_by: str,
    reference: Mapping[str, str],
) -> Packed:
    """One image. `config` is the object of that name in config.md; `reference` annotates the index's entry. Pure."""
    created = moment(epoch)
    platform = platform_of(architecture)
    described = canonical_json(
        {
            **platform,
            "created": created,
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.diff_id}" for one in layers]},
            "history": [{"created": created, "created_by": created_by} for _ in layers],
        }
    )
    manifest = canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor(described, CONFIG),
            "layers": [
                {"mediaType": one.media_type, "digest": f"sha256:{one.digest}", "size": one.size} for one in layers
            ],
            **({"annotations": dict(annotations)} if annotations else {}),
        }
    )
    entry = {**descriptor(manifest, MANIFEST), "platform": platform}
    files = {
        LAYOUT_FILE: LAYOUT_TEXT,
        "index.json": index_json([{**entry, "annotations": dict(reference)}]),
        f"{_BLOBS}/{sha256_bytes(described)}": described,
        f"{_BLOBS}/{sha256_bytes(manifest)}": manifest,
    }
    return Packed(files, entry)


def index_json(manifests: Sequence[Mapping[str, JSON]]) -> bytes:
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [dict(one) for one in manifests]})


def descriptor(data: bytes, media_type: str) -> dict[str, JSON]:
    return {"mediaType": media_type, "digest": f"sha256:{sha256_bytes(data)}", "size": len(data)}


def platform_of(architecture: str) -> dict[str, JSON]:
    """Debian's and Go's words for these architectures are the same; the variant is the specification's for arm64."""
    variant = {"variant": _VARIANTS[architecture]} if architecture in _VARIANTS else {}
    return {"os": "linux", "architecture": architecture, **variant}


def moment(epoch: int) -> str:
    """RFC 3339."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def blob_path(digest: Sha256) -> str:
    return f"{_BLOBS}/{digest}"


def write_archive(target: Path, files: Mapping[str, bytes | Path], *, epoch: int) -> None:
    """A layout as a tar archive, members sorted, root's, of one time: equal files give equal bytes."""
    folders = sorted({parent.as_posix() for name in files for parent in Path(name).parents} - {"."})
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder in folders:
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, epoch
            archive.addfile(entry)
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.mode, entry.mtime = 0o644, epoch
            if isinstance(content, bytes):
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
            else:
                entry.size = content.stat().st_size
                with content.open("rb") as data:
                    archive.addfile(entry, data)
