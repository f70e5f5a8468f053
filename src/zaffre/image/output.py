# SPDX-License-Identifier: Apache-2.0
"""The files that a build gives, and the manifest that vouches for them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from zaffre.definition import Form
from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact, Manifest
from zaffre.store import copy_sparse, hash_file

_FORMS = {form.file_name: str(form) for form in Form}


class ManifestSigner(Protocol):
    """Whoever signs manifests; `trust` has those that do."""

    def sign_bytes(self, data: bytes) -> bytes: ...

    def holds(self, data: bytes, signature: bytes) -> bool: ...


def describe_artifacts(folder: Path) -> dict[str, Artifact]:
    """Every file of a build that the manifest vouches for, by its path in the folder."""
    outside = {folder / MANIFEST_NAME, folder / SIGNATURE_NAME}
    paths = [path for path in sorted(folder.rglob("*")) if path not in outside and not path.is_dir()]
    with ThreadPoolExecutor() as pool:  # hashing releases the interpreter's lock
        digests = pool.map(hash_file, paths)
        return {
            path.relative_to(folder).as_posix(): Artifact(
                sha256=digest, size=path.stat().st_size, form=_FORMS.get(path.name)
            )
            for path, digest in zip(paths, digests, strict=True)
        }


def describe_artifact(path: Path) -> Artifact:
    return Artifact(sha256=hash_file(path), size=path.stat().st_size)


def write_manifest(folder: Path, manifest: Manifest, signer: ManifestSigner) -> None:
    """Write the manifest in its canonical form and the signature over exactly those bytes."""
    text = manifest.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"
    (folder / MANIFEST_NAME).write_bytes(text)
    (folder / SIGNATURE_NAME).write_bytes(signer.sign_bytes(text))


def read_build(folder: Path, signer: ManifestSigner) -> Manifest | None:
    """The manifest of a finished build that need not be made again; None otherwise.

    It carries `signer`'s signature, and every file is there, has its size and was not written since. Content is
    not hashed, as a build of which nothing has changed is to be found in an instant: `zaffre verify` does that.
    """
    try:
        text = (folder / MANIFEST_NAME).read_bytes()
        manifest = Manifest.model_validate_json(text)
        signed = signer.holds(text, (folder / SIGNATURE_NAME).read_bytes())
        finished = (folder / MANIFEST_NAME).stat().st_mtime_ns
        files = [(one.size, (folder / name).stat()) for name, one in manifest.artifacts.items()]
    except (OSError, ValueError):
        return None
    whole = all(status.st_size == size and status.st_mtime_ns <= finished for size, status in files)
    return manifest if signed and whole else None


def place(blob: Path, target: Path) -> None:
    """Copy a blob of the store to its place, holes kept, writable by its owner."""
    copy_sparse(blob, target)
    target.chmod(0o644)
