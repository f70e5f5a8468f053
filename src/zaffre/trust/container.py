# SPDX-License-Identifier: Apache-2.0
"""A container image's build: every file of its layout is named by the one before it, and the archive is the same."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from pathlib import Path

from zaffre.errors import IntegrityError
from zaffre.manifest import Manifest
from zaffre.oci import LAYOUT_FILE, named_files, read_layout
from zaffre.trust.inspector import Verdict

LAYOUT = "oci"
ARCHIVE = "image.oci.tar"

_CHUNK = 4 << 20


def check_layout(directory: Path, manifest: Manifest) -> Verdict:
    """From the index to the layer, and nothing beside that."""
    images = read_layout(directory / LAYOUT)
    if len(images) != 1:
        return Verdict(ok=False, detail=f"the layout has {len(images)} images, not one")
    (image,) = images
    platform = f"linux/{manifest.architecture}"
    if image.manifest.platform != platform or image.config.get("architecture") != manifest.architecture:
        return Verdict(ok=False, detail=f"the image is not for {platform}, as the manifest says")
    belongs = {f"{LAYOUT}/{name}" for name in (LAYOUT_FILE, "index.json", *named_files(images))}
    if extra := sorted(name for name in manifest.artifacts if name.startswith(f"{LAYOUT}/") and name not in belongs):
        return Verdict(ok=False, detail=f"no image of the layout has {', '.join(extra)}")
    return Verdict(ok=True, detail=f"{image.manifest.digest[:23]}..., {platform}, {len(image.layers)} layer")


def check_archive(directory: Path, manifest: Manifest) -> Verdict:
    """Member by member what the manifest says of the folder's files."""
    wanted = {name: one.sha256 for name, one in manifest.artifacts.items() if name.startswith(f"{LAYOUT}/")}
    found = {f"{LAYOUT}/{name}": digest for name, digest in _members(directory / ARCHIVE)}
    if wanted != found:
        other = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
        return Verdict(ok=False, detail=f"differs from the folder in {', '.join(other)}")
    return Verdict(ok=True, detail=f"{len(found)} files, those of the folder")


def _members(archive: Path) -> Iterator[tuple[str, str]]:
    try:
        with tarfile.open(archive, "r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                data = tar.extractfile(member) if member.isreg() else None
                if data is None:
                    raise IntegrityError("the archive has something that is no file", where=member.name)
                digest = hashlib.sha256()
                while chunk := data.read(_CHUNK):
                    digest.update(chunk)
                yield member.name, digest.hexdigest()
    except tarfile.TarError as error:
        raise IntegrityError("the archive cannot be read", where=str(archive), details=str(error)) from error
