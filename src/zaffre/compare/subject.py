# SPDX-License-Identifier: Apache-2.0
"""What is compared: sets of packages, and of a build all that its manifest and inventory say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zaffre.compare.report import Side
from zaffre.manifest import Manifest
from zaffre.tree import Inventory
from zaffre.upstream import Lock, LockedPackage, LockedSet, Users

PackageKey = tuple[str, str]
"""Name and architecture, unique within a set."""


@dataclass(frozen=True)
class Package:
    """`download` and `installed` are bytes: of the package's file, and of what the image kept of it."""

    name: str
    version: str
    architecture: str
    sha256: str
    source: str
    source_version: str
    archive: str | None
    suite: str | None
    download: int | None = None
    installed: int | None = None

    @property
    def key(self) -> PackageKey:
        return self.name, self.architecture

    @property
    def origin(self) -> str | None:
        """Archive and suite, once where both have one name."""
        if self.archive is None:
            return None
        return self.archive if self.suite in {None, self.archive} else f"{self.archive} {self.suite}"


@dataclass(frozen=True)
class PackageSet:
    """`locked` is there for what comes out of a lock, `accounts` where they are known."""

    name: str
    architecture: str
    packages: Mapping[PackageKey, Package]
    accounts: Users | None
    locked: LockedSet | None = None

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.architecture


@dataclass(frozen=True)
class Subject:
    """One side. A lock has all its sets unless one was chosen; `why_not` says why a build has no `inventory`."""

    side: Side
    sets: Mapping[tuple[str, str], PackageSet]
    lock: Lock | None = None
    manifest: Manifest | None = None
    inventory: Inventory | None = None
    why_not: str | None = None
    image: str | None = None

    @property
    def single(self) -> PackageSet | None:
        """Its set, if it has just one to compare."""
        return next(iter(self.sets.values())) if self.image is not None else None


def locked_set(locked: LockedSet) -> PackageSet:
    packages = {one.key: _locked_package(one) for one in locked.packages}
    return PackageSet(locked.name, locked.architecture, packages, locked.users, locked)


def built_set(manifest: Manifest, inventory: Inventory | None) -> PackageSet:
    """The packages that a build was made of; those that nothing is left of in the image too."""
    kept = {(one.name, one.architecture): one.bytes for one in inventory.packages} if inventory else None
    packages = {
        (one.name, one.architecture): Package(
            name=one.name,
            version=one.version,
            architecture=one.architecture,
            sha256=one.sha256,
            source=one.source,
            source_version=one.source_version,
            archive=one.archive,
            suite=one.suite,
            installed=kept.get((one.name, one.architecture), 0) if kept is not None else None,
        )
        for one in manifest.packages
    }
    return PackageSet(manifest.image, manifest.architecture, packages, inventory.accounts if inventory else None)


def _locked_package(one: LockedPackage) -> Package:
    return Package(
        name=one.name,
        version=one.version,
        architecture=one.architecture,
        sha256=one.sha256,
        source=one.source,
        source_version=one.source_version,
        archive=one.archive,
        suite=one.suite,
        download=one.size,
    )
