# SPDX-License-Identifier: Apache-2.0
"""Debian archives behind the protocol of families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

from zaffre.definition import DebUpstream
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.deb.offered import with_built
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.deb.solve import Solver
from zaffre.upstream.deb.sources import Sources, read_sources
from zaffre.upstream.download import Limits
from zaffre.upstream.lock import BuiltPackage, LockedPackage, LockedSource, LockedSuite
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.sources import SourcePackage


@dataclass(frozen=True)
class _Reach:
    """What it takes to ask the mirrors for more of the same moment."""

    upstream: DebUpstream
    mirrors: Mirrors
    store: Store
    progress: Progress
    limits: Limits | None


@dataclass(frozen=True)
class DebRepositories:
    """The verified indexes of an upstream, and apt over them."""

    indexes: Indexes
    reach: _Reach

    @property
    def suites(self) -> tuple[LockedSuite, ...]:
        return self.indexes.suites

    def solver(self, sandbox: Sandbox, store: Store) -> Solver:
        return Solver(self.indexes, sandbox, store)

    def bootstrap(self, names: Sequence[str], architecture: str) -> tuple[LockedPackage, ...]:
        return bootstrap_resolve(names, self.indexes, architecture)

    def offering(self, built: Sequence[BuiltPackage], architecture: str) -> DebRepositories:
        return replace(self, indexes=with_built(self.indexes, built, architecture, self.reach.store))

    def newest(self, name: str, architecture: str) -> LockedPackage | None:
        found = self.indexes.universe(architecture).candidates(name)
        return found[0].locked() if found else None

    def binaries_of(self, source: str, architecture: str) -> tuple[str, ...]:
        return self.indexes.universe(architecture).binaries_of(source)

    def source(self, name: str) -> SourcePackage | None:
        return self._sources.newest(name)

    def source_at(self, name: str, version: str) -> LockedSource | None:
        return self._sources.at(name, version)

    @cached_property
    def _sources(self) -> Sources:
        reach = self.reach
        return read_sources(
            reach.upstream, self.suites, reach.mirrors, reach.store, progress=reach.progress, limits=reach.limits
        )


@dataclass(frozen=True)
class DebFamily:
    """Signed suites of archives; apt from the tools tree solves."""

    upstream: DebUpstream

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
    ) -> DebRepositories:
        indexes = refresh(
            self.upstream,
            mirrors,
            store,
            architectures=architectures,
            now=now,
            not_before=not_before,
            progress=progress,
            limits=limits,
        )
        return DebRepositories(indexes, _Reach(self.upstream, mirrors, store, progress, limits))
