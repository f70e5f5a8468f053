# SPDX-License-Identifier: Apache-2.0
"""What is published besides the images: locked at the versions that images have, so that both can be on one machine.

A server's apt finds the packages of `repository.packages` beside those that the server was made of. Where one of them
needs exactly the version of another (libraries, parts of one source), it can be installed only if both were locked at
the same version. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from zaffre.definition import DISTRIBUTION_FILE, OWN, Distribution
from zaffre.errors import DefinitionError
from zaffre.upstream.lock import LockedSet

_MOST_NAMED = 5


def versions_beside(
    distribution: Distribution, upstream: str, machine: str, sets: Iterable[LockedSet]
) -> dict[str, str]:
    """The versions that images of an upstream have on an architecture; where they differ, those of servers."""
    mine = [
        one
        for one in sets
        if one.name in distribution.images and (one.upstream, one.architecture) == (upstream, machine)
    ]
    ordered = sorted(mine, key=lambda one: (_is_server(distribution, one), one.name))
    return {package.name: package.version for one in ordered for package in one.packages}


def _moved(distribution: Distribution, locked: LockedSet, sets: Iterable[LockedSet]) -> Mapping[str, str]:
    """Packages of the set that servers have at other versions only, each with one that a server has."""
    servers: dict[str, set[str]] = {}
    for one in sets:
        if _is_server(distribution, one) and (one.upstream, one.architecture) == (locked.upstream, locked.architecture):
            for package in one.packages:
                servers.setdefault(package.name, set()).add(package.version)
    return {
        package.name: min(servers[package.name])
        for package in locked.packages
        if package.name in servers and package.version not in servers[package.name]
    }


def apart(distribution: Distribution, locked: LockedSet, sets: Iterable[LockedSet]) -> str | None:
    """Why the set does not fit what servers are made of; None if it does."""
    moved = list(_moved(distribution, locked, sets))
    if not moved:
        return None
    more = f" and {len(moved) - _MOST_NAMED} more" if len(moved) > _MOST_NAMED else ""
    return f"a server has another version of {', '.join(moved[:_MOST_NAMED])}{more}"


def too_far(distribution: Distribution, made: LockedSet, sets: Iterable[LockedSet]) -> DefinitionError:
    """What is said of a new set that is apart: mirrors dropped what servers have, or something needs a newer one."""
    theirs = _moved(distribution, made, sets)
    versions = {package.name: package.version for package in made.packages}
    return DefinitionError(
        f"the packages of [{OWN}] need other versions than servers have",
        where=f"{DISTRIBUTION_FILE}: {OWN}.packages",
        details="\n".join(f"{name}: a server has {theirs[name]}, now there is {versions[name]}" for name in theirs),
        resolution=f"run `zaffre lock --update {' '.join(theirs)}`, which moves both",
    )


def _is_server(distribution: Distribution, one: LockedSet) -> bool:
    image = distribution.images.get(one.name)
    return image is not None and image.kind.has_own_packages
