# SPDX-License-Identifier: Apache-2.0
"""From a definition to what is asked of the solver, and whether a lock still answers it. Pure and offline."""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from zaffre.definition import (
    OWN,
    TOOLS,
    Architecture,
    Distribution,
    Image,
    Upstream,
    packages_digest,
)
from zaffre.digest import Sha256, sha256_json
from zaffre.errors import WorldError
from zaffre.upstream.beside import apart
from zaffre.upstream.lock import BUILD_PREFIX, CROSS_PREFIX, Lock, LockedSet
from zaffre.upstream.plan import component_stale, lost_needs, plan_components
from zaffre.upstream.solving import SetRequest
from zaffre.upstream.sourcing import sources_stale

_MACHINES = {"x86_64": Architecture.AMD64, "aarch64": Architecture.ARM64, "arm64": Architecture.ARM64}


class Purpose(StrEnum):
    """What a set is locked for: to work with, to make an image of, or to be published though no image has it."""

    TOOLS = "tools"
    IMAGE = "image"
    REPOSITORY = "repository"


@dataclass(frozen=True)
class Wanted:
    """A set that the definition calls for. `learns_users`: the scripts of its packages run, and so make users and
    groups. `base`: the set that it is an addition to, for a sysext.
    """

    request: SetRequest
    digest: Sha256
    upstream: Upstream
    purpose: Purpose
    learns_users: bool = False
    base: str | None = None
    named: frozenset[str] = frozenset()

    @property
    def key(self) -> tuple[str, str]:
        return self.request.name, self.request.architecture

    @property
    def takes_ours(self) -> bool:
        """Whether packages of components are in it: the tools, which build those, are the upstream's alone."""
        return self.purpose is not Purpose.TOOLS


@dataclass(frozen=True)
class Stale:
    """One reason for which a lock does not answer the definition."""

    name: str
    architecture: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name} ({self.architecture}): {self.reason}"


def host_architecture() -> Architecture:
    """The architecture that tools run on: this machine's. Raises WorldError for one that is not supported."""
    machine = platform.machine()
    if machine not in _MACHINES:
        raise WorldError(
            f"images cannot be built on a machine of the kind '{machine}'",
            resolution=f"use one of {', '.join(sorted(_MACHINES))}",
        )
    return _MACHINES[machine]


def archives_of(distribution: Distribution) -> dict[str, str]:
    """Names of all archives of a distribution, with the directory that mirrors usually keep them in."""
    found: dict[str, str] = {}
    for upstream in distribution.upstreams.values():
        for archive in upstream.used_archives:
            hint = upstream.archives.get(archive)
            found.setdefault(archive, hint.path if hint else archive)
    return found


def published_of(distribution: Distribution) -> dict[str, tuple[str, ...]]:
    """Base URLs of archives whose projects publish them: what is left when no mirror is configured."""
    return {
        archive: urls for upstream in distribution.upstreams.values() for archive, urls in upstream.published.items()
    }


def tools_wanted(distribution: Distribution, architecture: str) -> Wanted:
    upstream = distribution.tools_upstream
    tools = distribution.tools
    request = SetRequest(TOOLS, _sorted((*tools.packages, *tools.unpacked)), str(architecture))
    return _wanted(request, upstream, Purpose.TOOLS)


def repository_wanted(distribution: Distribution, architecture: str) -> Wanted:
    """What `repository.packages` calls for. DefinitionError for a distribution without a repository of its own."""
    request = SetRequest(OWN, _sorted(distribution.repository_packages), str(architecture))
    return _wanted(request, distribution.repository_upstream, Purpose.REPOSITORY)


def image_wanted(distribution: Distribution, image: Image, architecture: str) -> Wanted:
    """What an image calls for. A sysext is solved together with its base, and keeps what it adds to it."""
    machine = Architecture(architecture)
    upstream = distribution.upstream_of(image)
    named = image.requested_packages(machine)
    request = SetRequest(image.name, named, str(machine), _sorted(image.provides), image.recommends)
    request = replace(request, essential=image.essential)
    if image.base is None:
        return _wanted(request, upstream, Purpose.IMAGE, learns_users=image.essential)
    base = image_wanted(distribution, distribution.image(image.base), architecture)
    return _addition(request, base, upstream, Purpose.IMAGE)


def cross_wanted(distribution: Distribution, architecture: str, machine: str) -> Iterator[Wanted]:
    """What is added to the tools of a `machine` to make images for another architecture: programs of the machine's, and
    packages of that architecture. Both sets have one name.
    """
    cross = distribution.tools.cross.get(Architecture(architecture))
    if cross is None or architecture == machine:
        return
    name, upstream = f"{CROSS_PREFIX}{architecture}", distribution.tools_upstream
    base = tools_wanted(distribution, machine)
    yield _addition(SetRequest(name, _sorted(cross.packages), machine), base, upstream, Purpose.TOOLS)
    if cross.target:
        yield _wanted(SetRequest(name, _sorted(cross.target), architecture), upstream, Purpose.TOOLS)


def _addition(request: SetRequest, base: Wanted, upstream: Upstream, purpose: Purpose) -> Wanted:
    """A set that is solved together with its base, and holds what it adds to it."""
    joined = SetRequest(
        request.name,
        _sorted((*request.packages, *base.request.packages)),
        request.architecture,
        _sorted((*request.provides, *base.request.provides)),
        base.request.recommends,
    )
    # Which packages are its own and which its base's decides what its set holds, so both are in the digest.
    own = sorted(request.packages)
    digest = sha256_json({"joined": _digest(joined, upstream), "own": own, "base": base.digest})
    return Wanted(joined, digest, upstream, purpose, base=base.request.name, named=frozenset(own))


def _wanted(request: SetRequest, upstream: Upstream, purpose: Purpose, *, learns_users: bool = False) -> Wanted:
    return Wanted(request, _digest(request, upstream), upstream, purpose, learns_users=learns_users)


def _digest(request: SetRequest, upstream: Upstream) -> Sha256:
    return packages_digest(
        upstream,
        request.packages,
        architecture=Architecture(request.architecture),
        provides=request.provides,
        recommends=request.recommends,
        essential=request.essential,
    )


def all_wanted(
    distribution: Distribution,
    lock: Lock | None,
    *,
    images: Sequence[str] | None = None,
    architectures: Sequence[str] = (),
    tools_architecture: str | None = None,
) -> tuple[Wanted, ...]:
    """The tools, what they lack for other architectures, and every image, bases before what extends them; last, what
    is published besides. With `images`, only those with their bases.

    On each of `architectures` (those that the image is for, if none is given), and on those that the lock already has
    of an image that does not say what it is for.
    """
    chosen = [distribution.image(name) for name in (images if images is not None else sorted(distribution.images))]
    chosen += [distribution.image(image.base) for image in chosen if image.base]
    unique = {image.name: image for image in sorted(chosen, key=lambda image: (image.base is not None, image.name))}
    locked = {one.key for one in lock.sets} if lock else set()
    here = str(tools_architecture or host_architecture())
    found = [
        image_wanted(distribution, image, architecture)
        for image in unique.values()
        for architecture in distribution.upstream_of(image).architectures
        if architecture in (architectures or distribution.architectures_of(image))
        or ((image.name, str(architecture)) in locked and not distribution.declared_architectures(image))
    ]
    others = sorted({one.request.architecture for one in found} - {here})
    cross = [one for architecture in others for one in cross_wanted(distribution, architecture, here)]
    return (
        tools_wanted(distribution, here),
        *cross,
        *found,
        *(_published_besides(distribution, locked, architectures) if images is None else ()),
    )


def _published_besides(
    distribution: Distribution, locked: Collection[tuple[str, str]], architectures: Sequence[str]
) -> Iterator[Wanted]:
    if not distribution.repository_packages:
        return
    machines = architectures or (distribution.defaults.architecture,)
    for architecture in distribution.repository_upstream.architectures:
        if architecture in machines or (OWN, str(architecture)) in locked:
            yield repository_wanted(distribution, architecture)


def staleness(wanted: Wanted, locked: LockedSet | None) -> str | None:
    """Why the locked set does not answer what is wanted; None if it does."""
    if locked is None:
        return "is not in the lock"
    if locked.upstream != wanted.upstream.name:
        return f"is locked from the upstream '{locked.upstream}', the definition says '{wanted.upstream.name}'"
    if locked.request == wanted.digest:
        return None
    have = {package.name for package in locked.packages}
    asked = wanted.named if wanted.base else frozenset(wanted.request.packages)
    if absent := sorted(asked - have):
        return f"the definition asks for {', '.join(absent)}, which the lock does not have"
    return "the definition asks for other packages, suites or virtual packages than when it was locked"


def check_lock(distribution: Distribution, lock: Lock | None, *, tools_architecture: str | None = None) -> list[Stale]:
    """Every reason for which the lock does not answer the definition; empty when it does. Offline."""
    if lock is None:
        return [Stale("zaffre.lock", "all", "there is no lock yet")]
    stale: list[Stale] = []
    locked: Mapping[tuple[str, str], LockedSet] = {one.key: one for one in lock.sets}
    if lock.distribution != distribution.identity.id:
        stale.append(Stale("zaffre.lock", "all", f"is the lock of another distribution, '{lock.distribution}'"))
    for wanted in all_wanted(distribution, lock, tools_architecture=tools_architecture):
        mine = locked.get(wanted.key)
        reason = staleness(wanted, mine)
        if reason is None and mine is not None and wanted.base:
            reason = base_moved(mine, lock, wanted.base)
        if reason is None and mine is not None and wanted.purpose is Purpose.REPOSITORY:
            reason = apart(distribution, mine, lock.sets)
        if reason is not None:
            stale.append(Stale(*wanted.key, reason))
    stale += [
        Stale(*one.key, _needless(one))
        for one in lock.sets
        if not is_called_for(distribution, one.name) and not one.name.startswith((BUILD_PREFIX, CROSS_PREFIX))
    ]
    if reason := sources_stale(distribution, lock):
        stale.append(Stale("sources", "all", reason))
    return [*stale, *_stale_components(distribution, lock)]


def is_called_for(distribution: Distribution, name: str) -> bool:
    """Whether the definition itself calls for a set of that name. (What components are built with, they call for.)"""
    if name == OWN:
        return bool(distribution.repository_packages)
    if name.startswith(CROSS_PREFIX):
        return name.removeprefix(CROSS_PREFIX) in distribution.tools.cross
    return name == TOOLS or name in distribution.images


def _needless(locked: LockedSet) -> str:
    missing = "[repository] names no packages" if locked.name == OWN else "the definition has no such image"
    return f"is in the lock, but {missing}"


def _stale_components(distribution: Distribution, lock: Lock) -> Iterator[Stale]:
    plan = plan_components(
        distribution, lock, {one.architecture for one in lock.sets if one.name in distribution.images}
    )
    for component, architecture in plan.fresh:
        locked = lock.component(component.name, architecture)
        reason = component_stale(distribution, component, locked)
        if reason is None and locked is not None:
            reason = lost_needs(lock, locked, plan.kept)
        yield Stale(f"component {component.name}", architecture, reason or "is to be chosen anew")
    for gone in plan.gone:
        yield Stale(f"component {gone.name}", gone.architecture, "is in the lock, but not in the definition")


def base_moved(locked: LockedSet, lock: Lock, base: str) -> str | None:
    """Why a sysext's set does not fit the locked set of its base; None if it does."""
    below = lock.find(base, locked.architecture)
    if below is None:
        return f"its base '{base}' is not in the lock"
    versions = {package.name: package.version for package in below.packages}
    moved = [one.name for one in locked.packages if versions.get(one.name, one.version) != one.version]
    return f"its base '{base}' has another version of {', '.join(moved)}" if moved else None


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(set(names)))
