# SPDX-License-Identifier: Apache-2.0
"""Which source packages belong to what the repository of one's own gives on: `repository.sources`. Pure and offline.

A package names its source, and by Built-Using (Debian policy 7.8) those of which parts are in it: a signed kernel is
of a source that has the signatures alone, and names the kernel's there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zaffre.definition import DebBinary, DebUpstream, Distribution
from zaffre.upstream.deb.control import parse_relations, parse_stanza
from zaffre.upstream.lock import COMPONENTS, Lock, LockedComponent, LockedPackage, LockedSet

SourceKey = tuple[str, str, str]
"""Upstream, name and version."""
_MOST_NAMED = 5


def given_on(
    distribution: Distribution, sets: Iterable[LockedSet], components: Iterable[LockedComponent]
) -> Iterator[tuple[str, LockedPackage, str | None]]:
    """The packages that are a Debian upstream's, with its name, and the control file where the lock has it.

    Of what is built here, those that are the upstream's binaries in other halves.
    """
    for one in sets:
        if isinstance(distribution.upstreams.get(one.upstream), DebUpstream):
            yield from ((one.upstream, package, None) for package in one.packages if package.archive != COMPONENTS)
    for part in components:
        component = distribution.components.get(part.name)
        if component is not None and isinstance(component.source, DebBinary):
            yield from ((part.upstream, built.package, built.control) for built in part.packages)


def made_from(package: LockedPackage, control: str) -> list[tuple[str, str]]:
    """Names and versions of the sources that a package is made from. Raises ValueError for a senseless Built-Using."""
    used = parse_relations(parse_stanza(control).get("Built-Using", "").replace("\n", " "))
    return [(package.source, package.source_version), *((one.name, one.version) for group in used for one in group[:1])]


def lacking(distribution: Distribution, lock: Lock) -> list[str]:
    """Sources that the lock should have and has not, as far as the lock itself can tell. Offline."""
    if not distribution.gives_sources:
        return []
    known = {one.key for one in lock.sources}
    wanted = {
        (upstream, package.source, package.source_version)
        for upstream, package, _ in given_on(distribution, lock.sets, lock.components)
    }
    return [f"{name} {version}" for _, name, version in sorted(wanted - known)]


def sources_stale(distribution: Distribution, lock: Lock) -> str | None:
    """Why the lock's sources do not answer the definition; None if they do."""
    if lock.sources and not distribution.gives_sources:
        return "source packages are in the lock, and [repository] asks for none"
    absent = lacking(distribution, lock)
    if not absent:
        return None
    more = f" and {len(absent) - _MOST_NAMED} more" if len(absent) > _MOST_NAMED else ""
    return f"the lock does not have the source of {', '.join(absent[:_MOST_NAMED])}{more}"
