# SPDX-License-Identifier: Apache-2.0
"""The files that a build gives, and the manifest that vouches for them."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact, Manifest
from zaffre.store import copy_sparse, hash_file


class ManifestSigner(Protocol):
    """Whoever signs manifests; `trust` has those that do."""

    def sign_bytes(self, data: bytes) -> bytes: ...


def describe_artifacts(folder: Path) -> dict[str, Artifact]:
    """Every file of a build that the manifest vouches for."""
    outside = {MANIFEST_NAME, SIGNATURE_NAME}
    return {
        path.name: Artifact(sha256=hash_file(path), size=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name not in outside
    }


def write_manifest(folder: Path, manifest: Manifest, signer: ManifestSigner) -> None:
    """Write the manifest in its canonical form and the signature over exactly those bytes."""
    text = manifest.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"
    (folder / MANIFEST_NAME).write_bytes(text)
    (folder / SIGNATURE_NAME).write_bytes(signer.sign_bytes(text))


def read_build(folder: Path) -> Manifest | None:
    """The manifest of a finished build whose files are all there with their sizes; None otherwise."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
        whole = all((folder / name).stat().st_size == one.size for name, one in manifest.artifacts.items())
    except (OSError, ValueError):
        return None
    return manifest if whole and (folder / SIGNATURE_NAME).is_file() else None


def place(blob: Path, target: Path) -> None:
    """Copy a blob of the store to its place, holes kept, writable by its owner."""
    copy_sparse(blob, target)
    target.chmod(0o644)
