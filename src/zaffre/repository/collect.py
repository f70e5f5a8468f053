# SPDX-License-Identifier: Apache-2.0
"""Making room: old snapshots go, then what nothing refers to any more. What a channel names stays, always.

Nothing is removed when any suite that stays cannot be read and verified: what it needs would not be known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zaffre.errors import IntegrityError
from zaffre.place.target import Target
from zaffre.repository.layout import (
    DISTS,
    INRELEASE,
    SNAPSHOTS,
    below,
    snapshot_key,
    snapshot_suite,
)
from zaffre.repository.state import Suite, channel_names, pool_files, read_suite, require_repository, snapshot_names
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.pool import POOL


@dataclass(frozen=True)
class Rule:
    """Which snapshots may go: those beyond the `keep` newest and older than `age`. One that says nothing keeps all."""

    keep: int | None = None
    age: timedelta | None = None

    def drops(self, position: int, created: datetime, now: datetime) -> bool:
        """`position` is 0 for the newest."""
        if self.keep is None and self.age is None:
            return False
        return (self.keep is None or position >= self.keep) and (self.age is None or now - created > self.age)


@dataclass(frozen=True)
class Collected:
    """What went, or would go. `files` and `bytes` are of all that was removed, packages and indexes."""

    snapshots: tuple[str, ...]
    kept: tuple[str, ...]
    packages: int
    files: int
    bytes: int
    dry_run: bool


def collect(target: Target, keyring: Keyring, rule: Rule, *, now: datetime, dry_run: bool) -> Collected:
    """Remove snapshots by the rule, and all that no suite needs. Raises IntegrityError for what is not signed by us."""
    require_repository(target)
    if dry_run:
        return _collect(target, keyring, rule, now=now, dry_run=True)
    with target.publishing() as held:
        held.check()
        return _collect(target, keyring, rule, now=now, dry_run=False)


def _collect(target: Target, keyring: Keyring, rule: Rule, *, now: datetime, dry_run: bool) -> Collected:
    channels = [_suite(target, name, keyring, now) for name in channel_names(target)]
    pinned = {channel.snapshot for channel in channels}
    newest_first = list(reversed(snapshot_names(target)))
    dropped = [
        name
        for position, name in enumerate(newest_first)
        if name not in pinned and rule.drops(position, snapshot_key(name)[0], now)
    ]
    kept = [name for name in newest_first if name not in dropped]
    suites = [*channels, *(_suite(target, snapshot_suite(name), keyring, now) for name in kept)]
    indexes, packages = target.sizes(DISTS), target.sizes(POOL)
    stale = _stale_indexes(indexes, suites)
    needed = {file.path for suite in suites for file in pool_files(target, suite)}
    loose = [path for path in packages if path not in needed]
    if not dry_run:
        # A snapshot stops being one before it loses anything.
        target.remove(path for name in dropped if (path := below(snapshot_suite(name), INRELEASE)) in indexes)
        target.remove(stale)
        target.remove(loose)
    return Collected(
        snapshots=tuple(dropped),
        kept=tuple(kept),
        packages=len(loose),
        files=len(stale) + len(loose),
        bytes=sum(indexes[path] for path in stale) + sum(packages[path] for path in loose),
        dry_run=dry_run,
    )


def _suite(target: Target, name: str, keyring: Keyring, now: datetime) -> Suite:
    found = read_suite(target, name, keyring, now=now)
    if found is None:
        raise IntegrityError("a suite went away while it was looked at", where=f"{target.shown}: {name}")
    return found


def _stale_indexes(indexes: Iterable[str], suites: Sequence[Suite]) -> list[str]:
    """Files of snapshots that went, and indexes of channels that no suite has.

    A channel keeps the indexes of all snapshots that stay: machines that have just read its last InRelease are about to
    fetch them.
    """
    digests = {fact.sha256 for suite in suites for fact in suite.packed.values()}
    needed = {below(suite.name, INRELEASE) for suite in suites}
    needed |= {suite.place(path) for suite in suites for path in suite.packed}

    def is_stale(path: str) -> bool:
        if path.startswith(f"{DISTS}/{SNAPSHOTS}/"):
            return path not in needed
        return "/by-hash/" in path and path.rpartition("/")[2] not in digests

    return [path for path in indexes if is_stale(path)]
