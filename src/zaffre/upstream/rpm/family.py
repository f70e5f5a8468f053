# SPDX-License-Identifier: Apache-2.0
"""RPM repositories behind the protocol of families."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from zaffre.definition import RpmUpstream
from zaffre.errors import DefinitionError
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.download import Limits
from zaffre.upstream.lock import BuiltPackage, LockedPackage, LockedSuite
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.rpm.index import Metadata, RpmIndexes
from zaffre.upstream.rpm.refresh import refresh
from zaffre.upstream.rpm.solve import RpmSolver
from zaffre.upstream.sources import SourcePackage


@dataclass(frozen=True)
class RpmRepositories:
    """The verified repositories of an upstream, and libsolv over them."""

    indexes: RpmIndexes
    metadata: Metadata

    @property
    def suites(self) -> tuple[LockedSuite, ...]:
        return self.indexes.suites

    def solver(self, sandbox: Sandbox, store: Store) -> RpmSolver:  # noqa: ARG002 - libsolv is a library
        return RpmSolver(self.indexes, self.metadata)

    def bootstrap(self, names: Sequence[str], architecture: str) -> tuple[LockedPackage, ...]:
        raise DefinitionError(
            f"the tools cannot be made of {', '.join(names)} for {architecture} from '{self.indexes.upstream}'",
            where="zaffre.toml: tools.upstream",
            resolution="name a Debian upstream there",
        )

    def offering(self, built: Sequence[BuiltPackage], architecture: str) -> RpmRepositories:
        if built:
            raise self._unbuilt(f"{built[0].package.name} ({architecture})")
        return self

    def newest(self, name: str, architecture: str) -> LockedPackage | None:
        raise self._unbuilt(f"{name} ({architecture})")

    def binaries_of(self, source: str, architecture: str) -> tuple[str, ...]:
        raise self._unbuilt(f"{source} ({architecture})")

    def source(self, name: str) -> SourcePackage | None:
        raise self._unbuilt(name)

    def _unbuilt(self, what: str) -> DefinitionError:
        return DefinitionError(
            f"components of RPM packages are not built yet, so '{what}' is only to be had as it is",
            where=f"upstreams/{self.indexes.upstream}.toml",
            resolution="take the component out of the definition; its overlays can be checked by `zaffre drift`",
        )


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
        return RpmRepositories(indexes, Metadata(store, progress, limits))
