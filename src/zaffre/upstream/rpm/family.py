# SPDX-License-Identifier: Apache-2.0
"""RPM repositories behind the protocol of families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property, partial

from zaffre.definition import RpmUpstream
from zaffre.errors import DefinitionError
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.download import Limits
from zaffre.upstream.lock import BuiltPackage, LockedPackage, LockedSource, LockedSuite
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.rpm.catalogue import Catalogue
from zaffre.upstream.rpm.index import Metadata, RpmIndexes
from zaffre.upstream.rpm.refresh import refresh
from zaffre.upstream.rpm.solve import RpmSolver
from zaffre.upstream.rpm.sources import RpmSources
from zaffre.upstream.sources import SourcePackage


@dataclass(frozen=True)
class RpmRepositories:
    """The verified repositories of an upstream, what is offered beside them, and libsolv over them."""

    indexes: RpmIndexes
    metadata: Metadata
    sources: RpmSources
    built: tuple[BuiltPackage, ...] = ()

    @property
    def suites(self) -> tuple[LockedSuite, ...]:
        return (*self.indexes.suites, *self.sources.suites)

    def solver(self, sandbox: Sandbox, store: Store) -> RpmSolver:  # noqa: ARG002 - libsolv is a library
        return RpmSolver(self.indexes, self.metadata, self.built)

    def bootstrap(self, names: Sequence[str], architecture: str) -> tuple[LockedPackage, ...]:
        raise DefinitionError(
            f"the tools cannot be made of {', '.join(names)} for {architecture} from '{self.indexes.upstream}'",
            where="zaffre.toml: tools.upstream",
            resolution="name a Debian upstream there",
        )

    def offering(self, built: Sequence[BuiltPackage], architecture: str) -> RpmRepositories:
        usable = tuple(one for one in built if one.package.architecture in {architecture, "all"})
        return replace(self, built=(*self.built, *usable))

    def newest(self, name: str, architecture: str) -> LockedPackage | None:
        return self._catalogue.newest(name, architecture)

    def binaries_of(self, source: str, architecture: str) -> tuple[str, ...]:
        return self._catalogue.binaries_of(source, {architecture})

    def source(self, name: str) -> SourcePackage | None:
        found = self.sources.newest(name)
        if found is None:
            return None
        machines = {index.architecture for index in self.indexes.indexes}
        return SourcePackage(found, self._catalogue.binaries_of(name, machines))

    def source_at(self, name: str, version: str) -> LockedSource | None:
        found = self.sources.newest(name)  # repositories of RPM packages have no older ones
        return found if found is not None and found.version == version else None

    @cached_property
    def _catalogue(self) -> Catalogue:
        return Catalogue(self.indexes.indexes, self.metadata)


@dataclass(frozen=True)
class RpmFamily:
    """Repositories with a signed repomd.xml; libsolv solves, in this process."""

    upstream: RpmUpstream

    def refresh(
        self,
        mirrors: Mirrors,
        store: Store,
        *,
        architectures: Sequence[str],
        now: datetime,
        not_before: Mapping[tuple[str, str], datetime],
        progress: Progress,
        limits: Limits | None,
    ) -> RpmRepositories:
        ask = partial(
            refresh,
            self.upstream,
            mirrors,
            store,
            architectures=architectures,
            now=now,
            not_before=not_before,
            progress=progress,
            limits=limits,
        )
        indexes, metadata = ask(), Metadata(store, progress, limits)
        return RpmRepositories(indexes, metadata, RpmSources(partial(ask, sources=True), indexes, metadata))
