# SPDX-License-Identifier: Apache-2.0
"""The new lock out of its parts: what was solved now, and what stays as it was."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from zaffre.definition import TOOLS, Distribution
from zaffre.upstream.lock import CROSS_PREFIX, ArchivedSource, Lock, LockedComponent, LockedSet, LockedSuite
from zaffre.upstream.requests import host_architecture, is_called_for
from zaffre.upstream.world import World


@dataclass(frozen=True)
class Job:
    """One run of `zaffre lock`."""

    distribution: Distribution
    old: Lock | None
    world: World
    now: datetime
    images: Sequence[str] | None


def every_set(job: Job, sets: Sequence[LockedSet]) -> tuple[LockedSet, ...]:
    """All sets of the new lock, sorted. Images that were not asked about stay as they are; one that was asked about
    loses its sets for machines that it is not for any more.
    """
    mine = {one.key for one in sets}
    others = [
        one
        for one in (job.old.sets if job.old else ())
        if one.key not in mine and (_for_another_machine(one) or (job.images is not None and _stays(job, one)))
    ]
    return tuple(sorted((*sets, *others), key=_order))


def assemble(
    job: Job,
    sets: Sequence[LockedSet],
    components: Iterable[LockedComponent],
    suites: Sequence[LockedSuite],
    sources: tuple[ArchivedSource, ...] | None = None,
) -> Lock:
    """The new lock, or `old` itself if all in it is the same. Without `sources`, they stay where some are asked for."""
    old, identity = job.old, job.distribution.identity.id
    if sources is None:
        sources = old.sources if old and job.distribution.gives_sources else ()
    fresh = {one.key for one in suites}
    kept_suites = [
        one
        for one in (old.suites if old else ())
        if one.key not in fresh and one.upstream in job.distribution.upstreams
    ]
    everything = every_set(job, sets)
    built = tuple(sorted(components, key=lambda one: one.identity))
    if (
        old is not None
        and old.distribution == identity
        and everything == tuple(sorted(old.sets, key=_order))
        and built == tuple(sorted(old.components, key=lambda one: one.identity))
        and sources == tuple(sorted(old.sources, key=lambda one: one.key))
    ):
        return old
    created = job.now.replace(microsecond=0)
    same_day = old is not None and old.created.date() == created.date()
    return Lock(
        distribution=identity,
        created=created,
        serial=old.serial + 1 if old is not None and same_day else 1,
        suites=tuple(sorted((*kept_suites, *suites), key=lambda one: one.key)),
        sets=everything,
        components=built,
        sources=sources,
    )


def _for_another_machine(one: LockedSet) -> bool:
    """Tools that another machine has locked for itself."""
    return one.name == TOOLS or one.name == f"{CROSS_PREFIX}{host_architecture()}"


def _stays(job: Job, one: LockedSet) -> bool:
    image = job.distribution.images.get(one.name)
    if image is not None and one.name in (job.images or ()):
        return one.architecture in job.distribution.architectures_of(image)
    return is_called_for(job.distribution, one.name)


def _order(one: LockedSet) -> tuple[bool, str, str]:
    return one.name != TOOLS, *one.key
