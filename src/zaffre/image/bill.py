# SPDX-License-Identifier: Apache-2.0
"""The bill of materials of an image, from what it is built of: lock, packages, definition, and the list of its files.

Who writes it down is passed in (`Papers`), as signing is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from zaffre.bill import Bill, BillArtifact, BillFile, BillLicence, BillPackage, BillSuite, BillSystem, Origin
from zaffre.definition import Distribution, Image, Kind
from zaffre.manifest import Artifact
from zaffre.progress import Progress
from zaffre.store import Store
from zaffre.tree.configure import declared_by, purls_of
from zaffre.tree.declared import SYSTEM_PACKAGE, Declared
from zaffre.upstream import COMPONENTS, Lock, LockedPackage, LockedSet

_FOLDER = "usr/share/sbom"
UNKNOWN = "unknown"
"""The version of a system that says none."""
_INVENTORY = "inventory.json"


class Papers(Protocol):
    """Whoever writes bills and provenance; `trust` has those that do."""

    @property
    def code(self) -> str:
        """Digest of the code that writes them."""
        ...

    def inside(self, bill: Bill) -> str:
        """The text that an image carries of its own bill."""
        ...

    def write(self, folder: Path, bill: Bill) -> tuple[str, ...]:
        """Write the papers of a build into its folder; returns their names."""
        ...


@dataclass(frozen=True)
class Subject:
    """What a bill is of. `definition` and `tools` are digests."""

    distribution: Distribution
    image: Image
    lock: Lock
    locked: LockedSet
    version: str
    profile: str
    definition: str
    tools: str


def system_of(lock: Lock, image: Image, architecture: str) -> tuple[LockedPackage, ...]:
    """The package that tells which system an extension is laid over; nothing for other images, which have their own."""
    below = lock.find(image.base, architecture) if image.base else None
    return tuple(one for one in below.packages if one.name == SYSTEM_PACKAGE) if below is not None else ()


def bill_of(
    subject: Subject,
    packages: Sequence[LockedPackage],
    *,
    system: Sequence[LockedPackage],
    store: Store,
    progress: Progress,
) -> Bill:
    """The bill without files and artifacts. `packages` are those that the image is made of, `system` what `system_of`
    says; all are in the store. Raises IntegrityError for one that is malformed or hostile.
    """
    distribution, image, locked = subject.distribution, subject.image, subject.locked
    upstream = distribution.upstream_of(image)
    identity = distribution.identity
    extension = image.kind in {Kind.SYSEXT, Kind.CONFEXT}
    said = declared_by(
        tuple({one.key: one for one in (*packages, *system)}.values()),
        upstream=upstream,
        store=store,
        progress=progress,
        label=f"licences {image.name}",
    )
    return Bill(
        image=image.name,
        kind=str(image.kind),
        version=subject.version,
        architecture=locked.architecture,
        profile=subject.profile,
        epoch=subject.lock.epoch,
        purls=purls_of(upstream),
        distribution=BillSystem(identity.id, identity.version, identity.name),
        system=_system(said, upstream.name),
        upstream=upstream.name,
        definition=subject.definition,
        lock=locked.digest,
        tools=subject.tools,
        packages=tuple(_package(one, said.licences[one.key], installed=not extension) for one in packages),
        suites=tuple(_suites(subject.lock, upstream.name)),
    )


def carried(bill: Bill, papers: Papers) -> dict[str, str]:
    """The file that an image has of its own bill, by relative path: without its files, as it is one itself.

    Neither profile, definition nor tools are told, so that what changes no file of the root makes no other root.
    """
    plain = replace(bill, profile="", definition="", tools="")
    return {f"{_FOLDER}/{bill.name}.cdx.json": papers.inside(plain)}


def with_result(bill: Bill, folder: Path, artifacts: Mapping[str, Artifact]) -> Bill:
    """The same with the image's files and the build's artifacts, among which are packages that were made for it."""
    made = tuple(_made(artifacts, bill.architecture))
    keys = {one.name: (one.name, one.architecture) for one in (*bill.packages, *made)}
    return replace(
        bill,
        packages=(*bill.packages, *made),
        files=tuple(_files(folder / _INVENTORY, keys)),
        artifacts=tuple(BillArtifact(name, one.sha256, one.size) for name, one in sorted(artifacts.items())),
    )


def _system(said: Declared, upstream: str) -> BillSystem:
    """What packages say that they make, if they do. No document goes without a version: scanners fall silent then."""
    found = said.system or BillSystem(upstream, "", upstream)
    return replace(found, version=found.version or UNKNOWN)


def _package(one: LockedPackage, licence: BillLicence, *, installed: bool) -> BillPackage:
    return BillPackage(
        name=one.name,
        version=one.version,
        architecture=one.architecture,
        source=one.source,
        source_version=one.source_version,
        sha256=one.sha256,
        size=one.size,
        archive=one.archive,
        suite=one.suite,
        built=one.archive == COMPONENTS,
        licence=licence,
        installed=installed,
    )


def _made(artifacts: Mapping[str, Artifact], architecture: str) -> Iterator[BillPackage]:
    """Packages that carry what is ours in an image with a package manager: they are made with it, not locked."""
    for name, one in sorted(artifacts.items()):
        if not name.endswith(".deb"):
            continue
        package, version, _ = name.split("_", 2)
        yield BillPackage(
            name=package,
            version=version,
            architecture=architecture,
            source=package,
            source_version=version,
            sha256=one.sha256,
            size=one.size,
            archive="",
            suite="",
            built=True,
            licence=BillLicence(),
        )


def _suites(lock: Lock, upstream: str) -> Iterator[BillSuite]:
    for one in lock.suites:
        if one.upstream == upstream:
            said: dict[str, str | None] = one.model_dump(mode="json", include={"date", "valid_until"})
            yield BillSuite(one.archive, one.suite, one.release_sha256, str(said["date"]), said["valid_until"])


def _files(inventory: Path, keys: Mapping[str, tuple[str, str]]) -> Iterator[BillFile]:
    """Regular files only. One that the definition has laid over a package's is the definition's."""
    if not inventory.is_file():
        return
    content: list[dict[str, Any]] = json.loads(inventory.read_bytes())["content"]
    for one in content:
        if one.get("sha256") is None:
            continue
        tree = one.get("tree")
        owner = keys.get(one.get("package", "")) if tree is None else None
        origin = None if owner else Origin.DEFINITION if tree else Origin.GENERATED
        yield BillFile(one["path"], one["sha256"], one["sha1"], one.get("bytes", 0), owner, origin, tree)
