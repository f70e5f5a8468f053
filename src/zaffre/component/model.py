# SPDX-License-Identifier: Apache-2.0
"""What the makers of the several kinds of component are given, and what they give back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from zaffre.component.obtaining import fetch_files
from zaffre.definition import Component, Distribution
from zaffre.digest import Sha256
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.download import Limits
from zaffre.upstream.family import Repositories
from zaffre.upstream.lock import LockedComponent, LockedFile, LockedSet, LockedSource
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.world import Chosen


@dataclass(frozen=True)
class Bench:
    """What it takes to work on a component. `sandbox` has the tools tree; `time` is the lock's, which `mirrors` are
    turned to.
    """

    distribution: Distribution
    component: Component
    architecture: str
    store: Store
    sandbox: Sandbox
    mirrors: Mirrors
    progress: Progress
    time: datetime
    limits: Limits | None = None

    @property
    def folder(self) -> Path:
        """The component's own folder."""
        return self.distribution.path(self.component.folder)

    def fetch(self, files: Sequence[LockedFile], *, title: str) -> None:
        """Bring files of a source into the store, as `fetch_files` does."""
        fetch_files(
            files,
            title=title,
            mirrors=self.mirrors,
            store=self.store,
            progress=self.progress,
            limits=self.limits,
        )


@dataclass(frozen=True)
class Choice:
    """What is new, and when: for choosing a source."""

    repositories: Repositories
    now: datetime


@dataclass(frozen=True)
class Order:
    """What is to be built, and the packages that are installed for it."""

    locked: LockedComponent
    installed: LockedSet | None


@dataclass(frozen=True)
class Made:
    """Package files in a scratch directory, and the log of the build as a blob, if it kept one."""

    files: tuple[Path, ...]
    log: Sha256 | None = None


class Maker(Protocol):
    """One kind of component."""

    def choose(self, bench: Bench, choice: Choice) -> Chosen:
        """The newest source that the definition allows, and what it is built with."""
        ...

    def fetch(self, bench: Bench, source: LockedSource) -> None:
        """Bring a locked source into the store. Raises SourceGoneError when no mirror has it any more."""
        ...

    def make(self, bench: Bench, order: Order, scratch: Path) -> Made:
        """Build in `scratch`. The same order gives the same bytes."""
        ...
