# SPDX-License-Identifier: Apache-2.0
"""Read an OCI image layout: the folder in which a container image lies as files named by their digests.

Source of the format: the OCI image specification 1.1, image-layout.md, image-index.md, manifest.md and config.md.
Every step of the way is held against the digest and size by which the step before names it. What is read may be a
stranger's: sizes and counts are bounded, and a digest is the only name that becomes a path. It belongs to no room:
several look into such folders.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zaffre.digest import sha256_bytes, sha256_file
from zaffre.errors import IntegrityError

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LAYOUT_FILE = "oci-layout"
LAYOUT_TEXT = b'{"imageLayoutVersion":"1.0.0"}'

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_MOST_JSON = 4 << 20  # what registries take for a manifest
_MOST_ENTRIES = 256


@dataclass(frozen=True)
class Descriptor:
    """How one file of a layout names another; `platform` is "os/architecture" where that is said."""

    media_type: str
    digest: str
    size: int
    platform: str | None = None

    @property
    def path(self) -> str:
        """Relative to the layout."""
        return f"blobs/sha256/{self.digest.removeprefix('sha256:')}"


@dataclass(frozen=True)
class ContainerImage:
    """One image of a layout, for one platform. `config` is its parsed configuration."""

    manifest: Descriptor
    layers: tuple[Descriptor, ...]
    config_at: Descriptor
    config: Mapping[str, Any]
    annotations: Mapping[str, str]

    @property
    def diff_ids(self) -> tuple[str, ...]:
        """Digests of the layers before they were compressed."""
        return tuple(self.config.get("rootfs", {}).get("diff_ids", ()))


def read_layout(folder: Path) -> tuple[ContainerImage, ...]:
    """The images that its index leads to, each file on the way held against its digest, layers too.

    Raises IntegrityError for what does not hold or has another form, OSError.
    """
    if _parsed(_read(folder, LAYOUT_FILE), LAYOUT_FILE).get("imageLayoutVersion") != "1.0.0":
        raise IntegrityError("the folder is no OCI image layout of version 1.0.0", where=str(folder / LAYOUT_FILE))
    found = tuple(_images(folder, _parsed(_read(folder, "index.json"), "index.json"), deep=False))
    if not found:
        raise IntegrityError("the layout has no image", where=str(folder / "index.json"))
    return found


def unpacking(media_type: str, layer: str, target: str) -> list[str]:
    """The words of tar(1) that lay the files of a layer below a directory. IntegrityError for an unknown form.

    Layers that take away files of those below (`.wh.`) are not meant.
    """
    option = {LAYER: (), f"{LAYER}+gzip": ("--gzip",), f"{LAYER}+zstd": ("--zstd",)}.get(media_type)
    if option is None:
        raise IntegrityError(f"the layer has a form that is not known: {media_type}")
    kept = ("--numeric-owner", "--same-owner", "--same-permissions", "--xattrs", "--xattrs-include=*")
    return ["tar", "--extract", *option, *kept, f"--file={layer}", f"--directory={target}"]


def named_files(images: tuple[ContainerImage, ...]) -> frozenset[str]:
    """Paths, relative to the layout, of the files that belong to these images."""
    return frozenset(one.path for image in images for one in (image.manifest, image.config_at, *image.layers))


def _images(folder: Path, index: Mapping[str, Any], *, deep: bool) -> Iterator[ContainerImage]:
    for entry in _list(index, "manifests"):
        descriptor = _descriptor(entry)
        value = _parsed(_blob(folder, descriptor), descriptor.path)
        if descriptor.media_type == INDEX and not deep:
            yield from _images(folder, value, deep=True)
        elif descriptor.media_type == MANIFEST:
            yield _image(folder, descriptor, value)
        else:
            raise IntegrityError(
                f"the layout has something that is no image: {descriptor.media_type}", where=descriptor.path
            )


def _image(folder: Path, descriptor: Descriptor, manifest: Mapping[str, Any]) -> ContainerImage:
    config_at = _descriptor(manifest.get("config"))
    layers = tuple(_descriptor(one) for one in _list(manifest, "layers"))
    config = _parsed(_blob(folder, config_at), config_at.path)
    for layer in layers:
        _hold(folder, layer)
    if len(config.get("rootfs", {}).get("diff_ids", ())) != len(layers):
        raise IntegrityError("the configuration names another number of layers", where=config_at.path)
    return ContainerImage(descriptor, layers, config_at, config, dict(manifest.get("annotations") or {}))


def _descriptor(value: object) -> Descriptor:
    if not isinstance(value, dict):
        raise IntegrityError("something else is where a descriptor should be")
    digest, size, media = value.get("digest"), value.get("size"), value.get("mediaType")
    if not (isinstance(digest, str) and _DIGEST.fullmatch(digest) and isinstance(size, int) and isinstance(media, str)):
        raise IntegrityError(f"a descriptor names no sha256 digest, size and media type: {str(value)[:200]}")
    platform = value.get("platform")
    said = f"{platform.get('os')}/{platform.get('architecture')}" if isinstance(platform, dict) else None
    return Descriptor(media, digest, size, said)


def _list(value: Mapping[str, Any], key: str) -> list[object]:
    found = value.get(key)
    if not isinstance(found, list) or len(found) > _MOST_ENTRIES:
        raise IntegrityError(f"there is no list of at most {_MOST_ENTRIES} {key}")
    return found


def _blob(folder: Path, descriptor: Descriptor) -> bytes:
    data = _read(folder, descriptor.path)
    if len(data) != descriptor.size or f"sha256:{sha256_bytes(data)}" != descriptor.digest:
        raise IntegrityError("the file is not the one that the layout names", where=str(folder / descriptor.path))
    return data


def _hold(folder: Path, descriptor: Descriptor) -> None:
    path = folder / descriptor.path
    if path.is_symlink() or not path.is_file():
        raise IntegrityError("the layout lacks a layer", where=str(path))
    if path.stat().st_size != descriptor.size or f"sha256:{sha256_file(path)}" != descriptor.digest:
        raise IntegrityError("the file is not the one that the layout names", where=str(path))


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise IntegrityError("the layout lacks a file", where=str(path))
    with path.open("rb") as file:
        data = file.read(_MOST_JSON + 1)
    if len(data) > _MOST_JSON:
        raise IntegrityError(f"the file is larger than {_MOST_JSON} bytes", where=str(path))
    return data


def _parsed(data: bytes, name: str) -> Mapping[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise IntegrityError("the file is not JSON", where=name, details=str(error)) from error
    if not isinstance(value, dict):
        raise IntegrityError("the file is not an object of JSON", where=name)
    return value
