# SPDX-License-Identifier: Apache-2.0
"""What locking reaches outside for, as values and callables that are passed in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from zaffre.definition import Component, Distribution
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.download import Limits
from zaffre.upstream.family import Repositories
from zaffre.upstream.fetch import fetch
from zaffre.upstream.lock import (
    BuiltPackage,
    LockedComponent,
    LockedPackage,
    LockedSet,
    LockedSource,
    Outcome,
    Users,
)
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.solving import SetRequest
from zaffre.upstream.toolsets import ToolSets

ToolsFor = Callable[[LockedSet], AbstractContextManager[Sandbox]]
"""A sandbox with the tools tree of a locked set, whose packages are in the store already."""
CrossTools = Callable[[ToolSets], AbstractContextManager[Sandbox]]
"""The same for several sets, with an emulator for another architecture."""
LearnUsers = Callable[[LockedSet, Sandbox, int], Users]
"""The ids that the scripts of a set give, starting from those that the set has already. The number is the lock's
epoch, so that the root that is configured for this is the one that the build will want."""


@dataclass(frozen=True)
class Chosen:
    """What a component is made from, chosen now. `build` is what has to be installed to build it, if anything is."""

    source: LockedSource
    gives: tuple[str, ...]
    build: SetRequest | None = None
    outcome: Outcome = Outcome.LOCKED
    note: str | None = None


class Engine(Protocol):
    """What a lock needs of those who build components."""

    def choose(
        self, component: Component, architecture: str, repositories: Repositories, sandbox: Sandbox, *, now: datetime
    ) -> Chosen:
        """The newest source. A source that cannot be had is an outcome, not an error."""
        ...

    def build(
        self, locked: LockedComponent, installed: LockedSet | None, sandbox: Sandbox, *, created: datetime
    ) -> Sequence[BuiltPackage]:
        """The packages, from the store if they were built before. `created`: when the lock was made."""
        ...


@dataclass(frozen=True)
class World:
    """What locking reaches outside for. Without an `engine`, every package is the upstream's; without `cross_tools`, no
    script of another architecture can be run.

    `control` gives the text of the control file of a Debian package whose file is in the store; without it, no sources
    are locked.
    """

    mirrors: Mirrors
    store: Store
    tools: ToolsFor
    cross_tools: CrossTools | None = None
    learn_users: LearnUsers | None = None
    engine: Engine | None = None
    control: Callable[[LockedPackage], str] | None = None
    progress: Progress = SILENT
    limits: Limits | None = None

    def fetch(self, packages: Iterable[LockedPackage], distribution: Distribution, created: datetime) -> None:
        """Bring packages into the store, from where a lock made at `created` can be fetched."""
        fetch(
            packages,
            self.mirrors.at(created),
            self.store,
            self.progress,
            limits=self.limits,
            acceptance=Acceptance(distribution.upstreams.values(), self.store, now=created),
        )

    @contextmanager
    def fetched(self, tools: LockedSet, distribution: Distribution, created: datetime) -> Iterator[Sandbox]:
        """A sandbox with tools, which are fetched as they were at that time."""
        self.fetch(tools.packages, distribution, created)
        with self.tools(tools) as sandbox:
            yield sandbox

    @contextmanager
    def fetched_for(self, sets: ToolSets, distribution: Distribution, created: datetime) -> Iterator[Sandbox]:
        """The same with tools for another architecture."""
        if self.cross_tools is None:
            raise AssertionError
        self.fetch(sets.packages, distribution, created)
        with self.cross_tools(sets) as sandbox:
            yield sandbox
