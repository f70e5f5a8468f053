# SPDX-License-Identifier: Apache-2.0
"""Debian archives behind the protocol of families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from zaffre.definition import DebUpstream
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.bootstrap import bootstrap_resolve
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.deb.solve import Solver
from zaffre.upstream.download import Limits
from zaffre.upstream.lock import LockedPackage, LockedSuite
from zaffre.upstream.mirrors import Mirrors


@dataclass(frozen=True)
class DebRepositories:
    """The verified indexes of an upstream, and apt over them."""

    indexes: Indexes

    @property
    def suites(self) -> tuple[LockedSuite, ...]:
        return self.indexes.suites

    def solver(self, sandbox: Sandbox, store: Store) -> Solver:
        return Solver(self.indexes, sandbox, store)

    def bootstrap(self, names: Sequence[str], architecture: str) -> tuple[LockedPackage, ...]:
        return bootstrap_resolve(names, self.indexes, architecture)


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
        return DebRepositories(
            refresh(
                self.upstream,
                mirrors,
                store,
                architectures=architectures,
                now=now,
                not_before=not_before,
                progress=progress,
                limits=limits,
            )
        )
