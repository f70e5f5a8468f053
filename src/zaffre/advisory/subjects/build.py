# SPDX-License-Identifier: Apache-2.0
"""Packages of a build: what its manifest says is in it, and which files are left of each in its inventory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from zaffre.advisory.subject import Installed, Subject, SubjectKind, require_packages, telling
from zaffre.advisory.subjects.platforms import platform_of
from zaffre.advisory.versions import source_version, with_epoch
from zaffre.definition import Distribution
from zaffre.digest import sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.manifest import MANIFEST_NAME, Manifest, PackageFact
from zaffre.tree.inventory import Inventory

INVENTORY_NAME = "inventory.json"
_MOST_BYTES = 1 << 30


def build_subject(folder: Path, distribution: Distribution) -> Subject:
    """Raises DefinitionError for what this program does not read, FindingError for a build without packages,
    IntegrityError for an inventory that is not the build's.
    """
    manifest = read_manifest(folder)
    image = distribution.images.get(manifest.image)
    if image is None:
        raise DefinitionError(
            f"the definition has no image '{manifest.image}', so it is not known what the build is derived from",
            where=str(folder / MANIFEST_NAME),
            resolution="scan it with the definition that it was made from (--distro DIR)",
        )
    platform = platform_of(distribution.upstream_of(image))
    packages = tuple(_installed(one, platform.family, manifest.image) for one in manifest.packages)
    return Subject(
        kind=SubjectKind.BUILD,
        title=f"build {manifest.image} {manifest.version} ({manifest.profile})",
        platform=platform,
        architecture=manifest.architecture,
        packages=require_packages(packages, str(folder)),
        images=(manifest.image,),
        files=_files(folder, manifest),
    )


def read_manifest(folder: Path) -> Manifest:
    """Raises DefinitionError for what this program does not read."""
    try:
        return Manifest.model_validate_json(_bounded(folder / MANIFEST_NAME))
    except ValidationError as error:
        first = error.errors()[0]
        raise DefinitionError(
            "the manifest is not one that this program reads",
            where=str(folder / MANIFEST_NAME),
            details=f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}",
            resolution="use the version of zaffre that made the build, or build it again",
        ) from error


def _installed(one: PackageFact, family: str, image: str) -> Installed:
    made = one.source_version
    return Installed(
        name=one.name,
        version=one.version,
        architecture=one.architecture,
        source=one.source,
        source_version=source_version(family, made) if family == "deb" else with_epoch(made, one.version),
        within=(image,),
    )


def _files(folder: Path, manifest: Manifest) -> Callable[[Installed], tuple[str, ...]]:
    known: dict[str, list[str]] = {}
    read = False

    def files(one: Installed) -> tuple[str, ...]:
        nonlocal read
        if not read:
            read = True
            for content in _inventory(folder, manifest):
                known.setdefault(content[0], []).append(content[1])
        return telling(known.get(one.name, []))

    return files


def _inventory(folder: Path, manifest: Manifest) -> list[tuple[str, str]]:
    """Packages and paths of their files; nothing for a build that has no root of its own."""
    found = read_inventory(folder, manifest)
    content = found.content if found is not None else ()
    return [(one.package, one.path) for one in content if one.package is not None and one.sha256 is not None]


def read_inventory(folder: Path, manifest: Manifest) -> Inventory | None:
    """None for a build that has no root of its own. Raises IntegrityError for one that is not the manifest's."""
    named = manifest.artifacts.get(INVENTORY_NAME)
    if named is None:
        return None
    data = _bounded(folder / INVENTORY_NAME)
    if sha256_bytes(data) != named.sha256:
        raise IntegrityError(
            "the inventory is not the one that the manifest names",
            where=str(folder / INVENTORY_NAME),
            resolution="`zaffre verify` says what else does not hold; remove this folder, and build anew",
        )
    return Inventory.model_validate_json(data)


def _bounded(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DefinitionError(
            f"it can not be read: {error.strerror}",
            where=str(path),
            resolution="name the whole folder of a build",
        ) from error
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"the file is larger than {_MOST_BYTES} bytes", where=str(path))
    return data
