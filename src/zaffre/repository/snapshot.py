# SPDX-License-Identifier: Apache-2.0
"""A snapshot as it is before it is published: its indexes as blobs, its Release, and the packages of its pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from zaffre.definition import MACHINES, Distribution
from zaffre.digest import Sha256, sha256_bytes
from zaffre.repository.control import control_of
from zaffre.repository.index import BUILDERS, Heading, packages_text
from zaffre.repository.layout import SOURCES, index_path, snapshot_name, snapshot_suite
from zaffre.repository.selection import Packages, Selection
from zaffre.repository.sources import SourcePackage, Sources, sources_text
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.release import FileFact
from zaffre.upstream.pool import pool_path

_COMPONENTS = (MACHINES, BUILDERS)
_TIMEOUT = 300.0
# One thread: how many there are shows in what xz writes.
_PACK = ("xz", "--compress", "--stdout", "--threads=1", "-6", "--check=crc64")


@dataclass(frozen=True)
class Index:
    """One index of packages, or of source packages: the blobs of its text and of its packed form."""

    path: str
    plain: FileFact
    packed: FileFact

    @property
    def packed_path(self) -> str:
        return f"{self.path}.xz"

    @property
    def facts(self) -> Mapping[str, FileFact]:
        """What a Release says of it."""
        return {self.path: self.plain, self.packed_path: self.packed}


@dataclass(frozen=True)
class Snapshot:
    """What was locked at one time, ready to be signed. `release` is the text; `packages` and `sources` are what its
    indexes list.
    """

    name: str
    created: datetime
    release: bytes
    indexes: tuple[Index, ...]
    packages: Packages
    sources: tuple[SourcePackage, ...] = ()

    @property
    def suite(self) -> str:
        return snapshot_suite(self.name)

    @property
    def pool(self) -> Mapping[str, FileFact]:
        """The files of its packages by where they lie."""
        found = {pool_path(package): FileFact(package.digest, package.size) for package in self.packages}
        return found | {path: fact for source in self.sources for path, fact in source.pool.items()}

    @property
    def facts(self) -> Mapping[str, FileFact]:
        return {path: fact for index in self.indexes for path, fact in index.facts.items()}


def make_snapshot(
    distribution: Distribution,
    selection: Selection,
    *,
    created: datetime,
    store: Store,
    sandbox: Sandbox,
    sources: Sources | None = None,
    revision: int = 1,
) -> Snapshot:
    """The snapshot of a selection whose packages are in the store, and of its `sources` if it is to have any. The same
    selection and time give the same bytes.
    """
    indexes = []
    for component, table in zip(_COMPONENTS, (selection.machines, selection.builders), strict=True):
        for architecture in selection.architectures:
            packages = table.get(architecture, ())
            text = packages_text(
                (one, selection.controls.get(one.digest) or control_of(one, store)) for one in packages
            )
            indexes.append(_index(index_path(component, architecture), text, store=store, sandbox=sandbox))
    if sources is not None:
        for component, found in zip(_COMPONENTS, (sources.machines, sources.builders), strict=True):
            text = sources_text(found, store)
            indexes.append(_index(f"{component}/{SOURCES}", text, store=store, sandbox=sandbox))
    name = snapshot_name(created, revision)
    heading = heading_of(distribution, snapshot_suite(name), name, date=created, architectures=selection.architectures)
    facts = {path: fact for index in indexes for path, fact in index.facts.items()}
    every = sources.all if sources is not None else ()
    return Snapshot(name, created, heading.text(facts), tuple(indexes), selection.packages, every)


def heading_of(
    distribution: Distribution, suite: str, snapshot: str, *, date: datetime, architectures: tuple[str, ...]
) -> Heading:
    """What the Releases of a distribution say of themselves."""
    own = distribution.own_repository
    return Heading(
        origin=own.origin or distribution.identity.name,
        label=own.label or distribution.identity.name,
        suite=suite,
        codename=distribution.identity.id,
        snapshot=snapshot,
        date=date,
        architectures=architectures,
        components=_COMPONENTS,
    )


def _index(path: str, text: bytes, *, store: Store, sandbox: Sandbox) -> Index:
    """Xz comes of the tools tree, as what it writes depends on its version."""
    packed = sandbox.run(_PACK, stdin=text, timeout=_TIMEOUT).stdout
    return Index(path, _fact(text, store), _fact(packed, store))


def _fact(data: bytes, store: Store) -> FileFact:
    digest: Sha256 = sha256_bytes(data)
    store.add_bytes(data)
    return FileFact(digest, len(data))
