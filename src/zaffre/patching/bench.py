# SPDX-License-Identifier: Apache-2.0
"""What a patch is made with, passed in: whoever locks, builds, checks, scans, signs and publishes."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from zaffre.advisory.report import Report
from zaffre.advisory.subject import Subject
from zaffre.advisory.versions import Order as VersionOrder
from zaffre.definition import Distribution
from zaffre.image import Build
from zaffre.machine.report import CheckReport
from zaffre.upstream import Lock
from zaffre.upstream.locking import Locking


class Stage(StrEnum):
    """How far a patch goes: each stage has those before it."""

    LOCK = "lock"
    BUILD = "build"
    CHECK = "check"
    RELEASE = "release"

    def reaches(self, other: Stage) -> bool:
        return list(Stage).index(self) >= list(Stage).index(other)


@dataclass(frozen=True)
class Order:
    """What is asked for. Without `images`: all. `dry_run` chooses packages, and writes nothing.

    `architecture` is what images are built for. `out` is where builds go, the advisory, and a lock that did not prove
    itself.
    """

    images: tuple[str, ...]
    architecture: str
    until: Stage
    dry_run: bool
    out: Path
    author: str = ""

    @property
    def kept_lock(self) -> Path:
        return self.out / "patch" / "zaffre.lock"

    @property
    def advisories(self) -> Path:
        """Advisories of what is locked: `zaffre feed publish` takes what is signed in there."""
        return self.out / "advisories"

    @property
    def kept_advisories(self) -> Path:
        """The same of what is only tried."""
        return self.out / "patch" / "advisories"


class Bench(Protocol):
    """What `patch` needs done. Whatever can't be done raises an error of `zaffre.errors`."""

    @property
    def distribution(self) -> Distribution: ...

    @property
    def lock(self) -> Lock:
        """The lock, which answers the definition."""
        ...

    @property
    def now(self) -> dt.datetime: ...

    def subjects(self, lock: Lock) -> Sequence[Subject]:
        """What is to be scanned of a lock."""
        ...

    def scan(self, subjects: Sequence[Subject], *, title: str, ask: bool = False) -> Report:
        """Against all that is known; with `ask`, the archive is asked now, however lately it was asked."""
        ...

    def solve(self, packages: Sequence[str], images: Sequence[str] | None) -> Locking:
        """The lock in which these packages may move, and all else stays that can stay."""
        ...

    def build(self, image: str, lock: Lock) -> Build: ...

    def check(self, image: str, built: Build, lock: Lock) -> CheckReport | None:
        """None for what has no check of its own."""
        ...

    def built_subject(self, built: Build) -> Subject: ...

    def sign(self, data: bytes) -> bytes:
        """A signature of the release key."""
        ...

    def make_release(self, built: Build, notes: str) -> Path: ...

    def publish(self, builds: Sequence[Path]) -> Sequence[str]:
        """Publish releases that were made, if a place was named; what was done, in words."""
        ...


def orders_of(subjects: Sequence[Subject], order_of: Mapping[str, VersionOrder]) -> dict[str, VersionOrder]:
    """The order of versions by ecosystem."""
    return {one.platform.ecosystem or "": order_of[one.platform.family] for one in subjects}
