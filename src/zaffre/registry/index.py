# SPDX-License-Identifier: Apache-2.0
"""Images for several architectures under one name: an OCI image index (image-spec, image-index.md)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zaffre.digest import JSON, canonical_json, sha256_bytes
from zaffre.errors import DefinitionError
from zaffre.oci import INDEX, LAYOUT_FILE, LAYOUT_TEXT, ContainerImage, Descriptor, named_files, read_layout


def join_layouts(layouts: Sequence[Path], target: Path) -> str:
    """Write to `target`, an absent folder, a layout with the images of all; returns the digest of what a tag names.

    For one image that is its manifest, for several an index, in the order of their platforms, with the annotations
    that all have in common. Files are hard links where that is possible. Raises IntegrityError for a layout that does
    not hold, DefinitionError for two images of one platform.
    """
    found = [(layout, image) for layout in layouts for image in read_layout(layout)]
    found.sort(key=lambda one: one[1].manifest.platform or "")
    platforms = [image.manifest.platform for _, image in found]
    if len(set(platforms)) != len(platforms):
        raise DefinitionError("there are two images for one platform", details=", ".join(map(str, platforms)))
    for layout, image in found:
        for name in named_files((image,)):
            _link(layout / name, target / name)
    entries = [_entry(image) for _, image in found]
    if len(entries) == 1:
        top, digest = entries[0], found[0][1].manifest.digest
    else:
        index = canonical_json(
            {
                "schemaVersion": 2,
                "mediaType": INDEX,
                "manifests": entries,
                "annotations": _common([image.annotations for _, image in found]),
            }
        )
        descriptor = Descriptor(INDEX, f"sha256:{sha256_bytes(index)}", len(index))
        (target / descriptor.path).write_bytes(index)
        top, digest = _described(descriptor), descriptor.digest
    (target / LAYOUT_FILE).write_bytes(LAYOUT_TEXT)
    (target / "index.json").write_bytes(canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [top]}))
    return digest


def _entry(image: ContainerImage) -> dict[str, JSON]:
    config: Mapping[str, Any] = image.config
    keys = ("os", "architecture", "variant")
    return {**_described(image.manifest), "platform": {key: str(config[key]) for key in keys if key in config}}


def _described(one: Descriptor) -> dict[str, JSON]:
    return {"mediaType": one.media_type, "digest": one.digest, "size": one.size}


def _common(all_annotations: Sequence[Mapping[str, str]]) -> dict[str, JSON]:
    first, *others = all_annotations
    return {key: value for key, value in first.items() if all(one.get(key) == value for one in others)}


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():  # a file that two images share
        return
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:
        shutil.copyfile(source, target, follow_symlinks=False)
