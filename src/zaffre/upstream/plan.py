# SPDX-License-Identifier: Apache-2.0
"""Which components belong into a lock, and which of them it does not answer any more. Pure and offline."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from zaffre.definition import Architecture, Component, Distribution, component_digest
from zaffre.upstream.lock import COMPONENTS, Lock, LockedComponent, LockedSet


@dataclass(frozen=True)
class Plan:
    """What a run of `zaffre lock` does about components: `fresh` are chosen, `kept` stay, `gone` leave the lock."""

    fresh: tuple[tuple[Component, str], ...] = ()
    kept: tuple[LockedComponent, ...] = ()
    kept_sets: tuple[LockedSet, ...] = ()
    gone: tuple[LockedComponent, ...] = ()
    anew: frozenset[str] = frozenset()
    """Names of those that are built again even if they are made of the same."""
    upstreams: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Upstreams of what is fresh or gone, with architectures: what is solved from them is solved again."""

    @property
    def changed(self) -> bool:
        return bool(self.fresh or self.gone)


def plan_components(
    distribution: Distribution,
    old: Lock | None,
    architectures: Collection[str],
    *,
    named: Collection[str] = (),
    anew: Collection[str] = (),
    freed: Callable[[LockedComponent], bool] = lambda _: False,
    concerned: Callable[[Component, LockedComponent | None], bool] = lambda _, __: True,
) -> Plan:
    """Pure and offline. `named` are locked though they are the upstream's own; `freed` says which are chosen anew.

    What is not `concerned` stays as it is, in the lock or out of it, unless what it is built with does not. `anew`:
    see `Plan`. On another architecture than the distribution's default, a component counts only where an image for that
    architecture may take a package of it.
    """
    fresh: list[tuple[Component, str]] = []
    kept: list[LockedComponent] = []
    wanted = [
        (one, architecture)
        for one in wanted_components(distribution, old, named)
        for architecture in sorted(architectures)
        if architecture in distribution.upstream_of_component(one).architectures
        and _counts(distribution, old, one, architecture)
    ]
    for component, architecture in wanted:
        locked = old.component(component.name, architecture) if old else None
        if component.name not in named and not concerned(component, locked):
            kept += [locked] if locked else []
        elif locked is None or freed(locked) or component_stale(distribution, component, locked):
            fresh.append((component, architecture))
        else:
            kept.append(locked)
    names = {component.name for component, _ in wanted}
    gone = [one for one in (old.components if old else ()) if one.name not in names]
    kept += [
        one
        for one in (old.components if old else ())
        if one.name in names and one.architecture not in architectures and one not in kept
    ]
    while old and (lost := [one for one in kept if one.architecture in architectures and lost_needs(old, one, kept)]):
        kept = [one for one in kept if one not in lost]
        fresh += [(distribution.component(one.name), one.architecture) for one in lost]
    upstreams: dict[str, set[str]] = {}
    for component, architecture in fresh:
        upstreams.setdefault(distribution.upstream_of_component(component).name, set()).add(architecture)
    for one in gone:
        if one.upstream in distribution.upstreams:
            upstreams.setdefault(one.upstream, set()).add(one.architecture)
    sets = [old.find(one.build_set, one.architecture) for one in kept] if old else []
    return Plan(
        tuple(fresh),
        tuple(kept),
        tuple(one for one in sets if one is not None),
        tuple(gone),
        frozenset(anew),
        {name: frozenset(machines) for name, machines in upstreams.items()},
    )


def _counts(distribution: Distribution, old: Lock | None, component: Component, architecture: str) -> bool:
    if architecture == distribution.defaults.architecture or (old and old.component(component.name, architecture)):
        return True
    names = {
        name
        for image in distribution.images.values()
        if architecture in distribution.architectures_of(image)
        for name in image.requested_packages(Architecture(architecture))
    }
    return may_give(component, None, names)


def may_give(component: Component, locked: LockedComponent | None, names: Collection[str]) -> bool:
    """Whether a component gives one of these packages; true where only its source can tell."""
    if locked is not None:
        return not set(names).isdisjoint(locked.gives)
    told = component.told_packages()
    return not component.inherited if told is None else not told.isdisjoint(names)


def wanted_components(distribution: Distribution, old: Lock | None, named: Collection[str] = ()) -> list[Component]:
    """What belongs into the lock: all that differs from the upstream, and what was asked for once."""
    known = {one.name for one in old.components} if old else set()
    for name in named:
        distribution.component(name)
    return [
        one for one in distribution.components.values() if not one.inherited or one.name in known or one.name in named
    ]


def component_stale(distribution: Distribution, component: Component, locked: LockedComponent | None) -> str | None:
    """Why the locked component does not answer its definition; None if it does."""
    if locked is None:
        return "is not in the lock"
    upstream = distribution.upstream_of_component(component).name
    if locked.upstream != upstream:
        return f"is locked from the upstream '{locked.upstream}', the definition says '{upstream}'"
    if locked.key != component_digest(distribution, component):
        return "its definition, an overlay or a file of it has changed since it was locked"
    return None


def lost_needs(lock: Lock, locked: LockedComponent, staying: Iterable[LockedComponent]) -> str | None:
    """Why the packages that a component is built with are not to be had as they are locked; None if they are.

    What was built here is built again from the lock alone, so it must be of a component that is `staying` there.
    """
    installed = lock.find(locked.build_set, locked.architecture)
    ours = [one for one in installed.packages if one.archive == COMPONENTS] if installed else []
    if not ours:
        return None
    given = {built.package.digest for one in staying for built in one.packages}
    lost = [one.name for one in ours if one.digest not in given]
    return f"is built with {', '.join(lost)}, and no component gives that as it is locked" if lost else None
