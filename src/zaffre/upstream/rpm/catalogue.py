# SPDX-License-Identifier: Apache-2.0
"""What repositories list, for questions that need no solver. Read when the first one is asked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from functools import cached_property

import solv

from zaffre.upstream.lock import LockedPackage, LockedSource
from zaffre.upstream.rpm.index import Metadata, RpmIndex
from zaffre.upstream.rpm.package import architecture_of
from zaffre.upstream.rpm.pool import Newest, is_source, locked_package, locked_source, read_into, source_of

_ALL = "all"


class Catalogue:
    """All packages of some repositories, sources among them. Raises what reading their metadata raises."""

    def __init__(self, indexes: Iterable[RpmIndex], metadata: Metadata) -> None:
        self._indexes = tuple({index.suite.key: index for index in indexes}.values())
        self._metadata = metadata

    @cached_property
    def _pool(self) -> solv.Pool:
        pool = solv.Pool()
        read_into(pool, self._indexes, self._metadata)
        return pool

    def newest(self, name: str, architecture: str) -> LockedPackage | None:
        """The newest version of a package that a machine of that architecture can use."""
        usable = [one for one in self._named(name) if _architecture(one) in {architecture, _ALL}]
        best = max(usable, key=Newest, default=None)
        return locked_package(best, self._index(best)) if best is not None else None

    def binaries_of(self, source: str, architectures: Collection[str]) -> tuple[str, ...]:
        """Names of the packages that come of a source, sorted."""
        usable = {*architectures, _ALL}
        found = {
            one.name
            for one in self._pool.solvables_iter()
            if _architecture(one) in usable and (source_of(one) or ("", ""))[0] == source
        }
        return tuple(sorted(found))

    def source(self, name: str) -> LockedSource | None:
        """The newest version of a source package."""
        best = max((one for one in self._named(name) if is_source(one)), key=Newest, default=None)
        return locked_source(best, self._index(best)) if best is not None else None

    def _named(self, name: str) -> Iterator[solv.XSolvable]:
        return (one for one in self._pool.solvables_iter() if one.name == name)

    def _index(self, one: solv.XSolvable) -> RpmIndex:
        return self._indexes[int(one.repo.name)]


def _architecture(one: solv.XSolvable) -> str | None:
    try:
        return architecture_of(one.arch)
    except ValueError:  # a source, or one that is not used
        return None
