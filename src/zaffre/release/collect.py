# SPDX-License-Identifier: Apache-2.0
"""Making room: which releases a channel need not offer any more, and files that no release refers to.

A release over which older ones come to the newest stays. Files go one run later than their release, so that a node that
has just read the old metadata finds what these name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from zaffre.follow.layout import (
    METADATA,
    ROOT_ROLE,
    SNAPSHOT_ROLE,
    TARGETS,
    TARGETS_ROLE,
    metadata_place,
    target_place,
)
from zaffre.offer import Record, stranded, version_key
from zaffre.place.target import Target
from zaffre.release.change import Change
from zaffre.release.desk import Desk, Outcome
from zaffre.release.operate import drop
from zaffre.release.state import State


@dataclass(frozen=True)
class Rule:
    """Releases may go that are beyond the `keep` newest good ones of their product, and older than `age`. One that says
    nothing keeps all.
    """

    keep: int | None = None
    age: timedelta | None = None

    def drops(self, newer: int, created: datetime, now: datetime) -> bool:
        """`newer` is how many good ones are newer."""
        if self.keep is None and self.age is None:
            return False
        return (self.keep is None or newer >= self.keep) and (self.age is None or now - created > self.age)


def droppable(state: State, rule: Rule, now: datetime) -> dict[str, tuple[str, ...]]:
    """By channel, the paths of the releases that may go."""
    found = {}
    for channel in state.channels:
        records = state.records(channel)
        products = sorted({record.product for record in records.values()})
        gone = [
            path
            for product in products
            for path in _of_product({path: one for path, one in records.items() if one.product == product}, rule, now)
        ]
        found[channel] = tuple(gone)
    return found


def _of_product(records: Mapping[str, Record], rule: Rule, now: datetime) -> list[str]:
    kept = dict(records)
    versions = [record.version for record in records.values()]
    cut_off = set(stranded(tuple(kept.values()), versions))
    gone = []
    for path, record in sorted(records.items(), key=lambda item: version_key(item[1].version)):
        newer = sum(
            1
            for one in records.values()
            if one.revoked is None and version_key(one.version) > version_key(record.version)
        )
        rest = {name: one for name, one in kept.items() if name != path}
        if (
            newer
            and rule.drops(newer, record.created, now)
            and set(stranded(tuple(rest.values()), versions)) <= cut_off
        ):
            kept = rest
            gone.append(path)
    return gone


def unreferenced(place: Target, state: State) -> dict[str, int]:
    """Files of the place, with their sizes, that nothing refers to. Roots stay for ever: nodes that were off for long
    need each of them. The version before the current one stays, too.
    """
    needed = {
        target_place(path, target.hashes["sha256"])
        for targets in state.channels.values()
        for path, target in targets.signed.targets.items()
    }
    loose = {path: size for path, size in place.sizes(TARGETS).items() if path not in needed}
    current = {name: state.role(name).signed.version for name in (TARGETS_ROLE, SNAPSHOT_ROLE, *state.channels)}
    keep = {metadata_place(name, version - back) for name, version in current.items() for back in (0, 1)}
    for path, size in place.sizes(METADATA).items():
        version, _, role = path.rpartition("/")[2].removesuffix(".json").partition(".")
        if version.isdigit() and role != ROOT_ROLE and path not in keep:
            loose[path] = size
    return loose


@dataclass(frozen=True)
class Collected:
    """What went, or would go: releases by channel, and files with their sizes in bytes."""

    dropped: Mapping[str, tuple[str, ...]]
    removed: Mapping[str, int]
    outcome: Outcome


def collect(desk: Desk, rule: Rule, *, dry_run: bool) -> Collected:
    """Remove files that nothing has referred to before this run, then drop releases by the rule.

    Files that were brought for a change which still waits for signatures go too: it has to be made again then.
    Raises FindingError as `Desk.carry_out` does.
    """
    dropped: dict[str, tuple[str, ...]] = {}
    removed: dict[str, int] = {}

    def make(state: State) -> Change:
        state.require_current(desk.now)
        dropped.update({channel: paths for channel, paths in droppable(state, rule, desk.now).items() if paths})
        removed.update(unreferenced(desk.place, state))
        if not dry_run:
            desk.place.remove(removed)
        return drop(state, dropped, now=desk.now)

    return Collected(dropped, removed, desk.carry_out(make, dry_run=dry_run))
