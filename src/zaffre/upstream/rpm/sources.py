# SPDX-License-Identifier: Apache-2.0
"""The source packages of an upstream: in repositories of their own, or among the others.

Repositories of sources are asked when a component asks for the first one, so that whoever has no component needs none
of them. What was verified then belongs into the lock as every suite does.
"""

from __future__ import annotations

from collections.abc import Callable

from zaffre.upstream.lock import LockedSource, LockedSuite
from zaffre.upstream.rpm.catalogue import Catalogue
from zaffre.upstream.rpm.index import Metadata, RpmIndexes


class RpmSources:
    """`ask` reads and verifies the repositories of sources; `binaries` are those that were read already."""

    def __init__(self, ask: Callable[[], RpmIndexes], binaries: RpmIndexes, metadata: Metadata) -> None:
        self._ask = ask
        self._binaries = binaries
        self._metadata = metadata
        self._catalogue: Catalogue | None = None
        self._suites: tuple[LockedSuite, ...] = ()

    @property
    def suites(self) -> tuple[LockedSuite, ...]:
        """What was verified; nothing before the first question."""
        return self._suites

    def newest(self, name: str) -> LockedSource | None:
        """The newest version of a source package. Raises what `refresh` does."""
        if self._catalogue is None:
            asked = self._ask()
            self._suites = asked.suites
            self._catalogue = Catalogue((*self._binaries.indexes, *asked.indexes), self._metadata)
        return self._catalogue.source(name)
