# SPDX-License-Identifier: Apache-2.0
"""The directory that a build gives: it appears whole under its final name, or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact, Manifest
from zaffre.store import copy_sparse, disk_full_guard, hash_file


class ManifestSigner(Protocol):
    """Whoever signs manifests; `trust` has those that do."""

    def sign_bytes(self, data: bytes) -> bytes: ...


@contextmanager
def fresh_directory(final: Path) -> Iterator[Path]:
    """A directory beside `final` to fill; it takes the name `final` when the block ends well, and goes otherwise.

    What was there is replaced in two renames, so a reader finds the old build, the new one, or for an instant none.
    """
    final.parent.mkdir(parents=True, exist_ok=True)
    partial = final.parent / f".{final.name}.{os.getpid()}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        with disk_full_guard(partial):
            yield partial
        if final.exists():
            old = final.parent / f".{final.name}.{os.getpid()}.old"
            final.rename(old)
            partial.rename(final)
            shutil.rmtree(old)
        else:
            partial.rename(final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what builds that were killed left in `folder`; those of living processes stay."""
    for path in folder.glob(".*.partial"):
        owner = path.name.split(".")[-2]
        if owner.isdigit() and not Path("/proc", owner).exists():
            shutil.rmtree(path, ignore_errors=True)


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
