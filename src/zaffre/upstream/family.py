# SPDX-License-Identifier: Apache-2.0
"""The one door to a family of packages: locking, the commands and all after them see these protocols only.

A family is asked what is new (`Family.refresh`) and gives `Repositories`: what it verified, and a solver over
just that. What it hands out are `LockedPackage`s, which look the same whatever family they are of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from zaffre.definition import DebUpstream, Upstream
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.download import Limits
from zaffre.upstream.lock import BuiltPackage, LockedPackage, LockedSource, LockedSuite
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.solving import SetRequest, Solution
from zaffre.upstream.sources import SourcePackage


class Solver(Protocol):
    """A family's own solver over verified repositories, for several sets."""

    def solve(self, request: SetRequest, *, keep: Mapping[str, str] | None = None) -> Solution:
        """The packages of a set. `keep` maps names to versions that should stay as they are.

        A kept version that the repositories no longer have, or that makes the set impossible, is released.
        Raises DefinitionError for unknown packages and for sets that cannot be installed together.
        """
        ...


class Repositories(Protocol):
    """What an upstream has at one time, verified."""

    @property
    def suites(self) -> tuple[LockedSuite, ...]:
        """What was verified, as the lock keeps it."""
        ...

    def solver(self, sandbox: Sandbox, store: Store) -> AbstractContextManager[Solver]:
        """A solver; `sandbox` has the tools tree, for families whose solver is a program."""
        ...

    def bootstrap(self, names: Sequence[str], architecture: str) -> tuple[LockedPackage, ...]:
        """A set with `names` chosen without any tools. Raises DefinitionError where the family cannot do it."""
        ...

    def offering(self, built: Sequence[BuiltPackage], architecture: str) -> Repositories:
        """The same, and these packages, which are taken before any of the same name."""
        ...

    def newest(self, name: str, architecture: str) -> LockedPackage | None:
        """The newest version of a binary package; None when there is none of that name."""
        ...

    def binaries_of(self, source: str, architecture: str) -> tuple[str, ...]:
        """Names of the binary packages that come of a source package, sorted; empty for an unknown source."""
        ...

    def source(self, name: str) -> SourcePackage | None:
        """The newest version of a source package; None when there is none of that name.

        Raises WorldError and IntegrityError as `Family.refresh` does.
        """
        ...

    def source_at(self, name: str, version: str) -> LockedSource | None:
        """That version of a source package, also one that is kept for others' sake only; None when there is none.

        Raises as `source` does.
        """
        ...


class Family(Protocol):
    """One upstream, asked in the manner of its family of packages."""

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
    ) -> Repositories:
        """Ask the mirrors what is new. `not_before` holds what the lock has seen already, by (archive, suite).

        Raises WorldError when no mirror answers, IntegrityError when none gives what is genuine, DefinitionError
        for what the upstream doesn't have.
        """
        ...


def family_of(upstream: Upstream) -> Family:
    """An upstream in the manner of its family. What that needs is loaded when it is asked for."""
    if isinstance(upstream, DebUpstream):
        from zaffre.upstream.deb.family import DebFamily  # noqa: PLC0415 - only the family that is used

        return DebFamily(upstream)
    from zaffre.upstream.rpm.family import RpmFamily  # noqa: PLC0415 - likewise

    return RpmFamily(upstream)
