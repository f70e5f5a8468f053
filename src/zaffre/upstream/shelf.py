# SPDX-License-Identifier: Apache-2.0
"""Components within a lock: chosen before the images, built when an image would take one of their packages.

What chooses sources and builds them comes later on the journey and is passed in as an `Engine`. A component is
built with packages of other components where its build dependencies name them, which gives the order of builds; one
that needs itself takes the upstream's for that.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime

from zaffre.definition import Component, Distribution, component_digest
from zaffre.digest import sha256_json
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox
from zaffre.upstream.family import Repositories, Solver
from zaffre.upstream.lock import (
    COMPONENTS,
    BuiltPackage,
    Lock,
    LockedComponent,
    LockedPackage,
    LockedSet,
    LockedSource,
    Outcome,
)
from zaffre.upstream.missing import missing
from zaffre.upstream.plan import Plan
from zaffre.upstream.solving import SetRequest, Solution
from zaffre.upstream.world import Engine, World

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9+._-]*")


@dataclass
class Shelf:
    """The components of one run of `zaffre lock`, and solvers that offer what is built of them.

    Empty until it is filled, and then a solver is the family's own. `keep` says which versions of a set stay.
    """

    distribution: Distribution
    old: Lock | None
    world: World
    repositories: Mapping[str, Repositories]
    solving: Sandbox
    now: datetime
    stack: ExitStack
    keep: Callable[[LockedSet | None], dict[str, str]]
    components: dict[tuple[str, str], LockedComponent] = field(default_factory=dict)
    sets: dict[tuple[str, str], LockedSet] = field(default_factory=dict)
    anew: frozenset[str] = frozenset()
    _building: tuple[Engine, Sandbox] | None = None
    _requests: dict[tuple[str, str], SetRequest] = field(default_factory=dict)
    _solvers: dict[tuple[str, str, tuple[str, ...]], Solver] = field(default_factory=dict)
    _working: list[str] = field(default_factory=list)

    @property
    def filled(self) -> bool:
        return self._building is not None or self.world.engine is None

    def fill(self, plan: Plan, stack: ExitStack, tools: LockedSet) -> None:
        """Put the components of a plan on the shelf; they are chosen and built with these tools."""
        if self.world.engine is None:
            return
        self._building = self.world.engine, stack.enter_context(self.world.fetched(tools, self.distribution, self.now))
        self.anew = plan.anew
        self.components = {one.identity: one for one in plan.kept}
        self.sets = {one.key: one for one in plan.kept_sets}
        for architecture in sorted({architecture for _, architecture in plan.fresh}):
            self.choose([component for component, machine in plan.fresh if machine == architecture], architecture)

    def choose(self, components: Iterable[Component], architecture: str) -> None:
        """Choose sources first, so that every name that is given is known, then what they are built with."""
        engine, sandbox = self._engine()
        fresh = []
        for component in components:
            upstream = self.distribution.upstream_of_component(component).name
            with self.world.progress.step(f"source of {component.name} for {architecture}") as remark:
                chosen = engine.choose(component, architecture, self.repositories[upstream], sandbox, now=self.now)
                remark(chosen.note or f"{chosen.source.name} {chosen.source.version}")
            locked = LockedComponent(
                name=component.name,
                architecture=architecture,
                upstream=upstream,
                key=component_digest(self.distribution, component),
                outcome=chosen.outcome,
                note=chosen.note,
                gives=chosen.gives,
                source=self._dated(component.name, architecture, chosen.source),
            )
            if chosen.note:
                self.world.progress.note(f"{component.name}: {chosen.note}")
            self.components[locked.identity] = locked
            if chosen.build is not None:
                self._requests[locked.identity] = chosen.build
            fresh.append(locked.identity)
        for identity in fresh:
            self._with_set(*identity)

    def solve(self, upstream: str, request: SetRequest, *, keep: Mapping[str, str], without: str = "") -> Solution:
        """As a family's solver does, with our packages in the place of those of the same name.

        A component is built when the first set needs one of its packages; `without` is one that is not offered.
        """
        names = {*request.packages, *self._ours_alone(upstream, request)}
        while True:
            self._build_for(upstream, request, names, without)
            solution = self._solver(upstream, request.architecture, without).solve(request, keep=keep)
            names |= {package.name for package in solution.packages}
            if not self._unbuilt(upstream, request.architecture, names, without):
                return solution

    def build(self, name: str, architecture: str) -> LockedComponent:
        """Build a component, or find that it is built."""
        locked = self._with_set(name, architecture)
        if locked.outcome != Outcome.LOCKED:
            return locked
        built = locked.model_copy(update={"outcome": Outcome.BUILT, "packages": self._made(locked)})
        self.components[built.identity] = built
        return built

    def provide(self, packages: Sequence[LockedPackage]) -> None:
        """After this, the store has every package: fetched, or built again where it was built here."""
        ours = missing([one for one in packages if one.archive == COMPONENTS], self.world.store)
        owners = {built.package.digest: one for one in self.components.values() for built in one.packages}
        for identity in dict.fromkeys(owners[one.digest].identity for one in ours):
            self._made(self.components[identity])
        self.world.fetch([one for one in packages if one.archive != COMPONENTS], self.distribution, self.now)

    def _made(self, locked: LockedComponent) -> tuple[BuiltPackage, ...]:
        engine, sandbox = self._engine()
        installed = self.sets.get((locked.build_set, locked.architecture))
        if installed is not None:
            self.provide(installed.packages)
        return tuple(engine.build(locked, installed, sandbox, created=self.now))

    def _engine(self) -> tuple[Engine, Sandbox]:
        if self._building is None:
            raise AssertionError
        return self._building

    def _dated(self, name: str, architecture: str, source: LockedSource) -> LockedSource:
        """The same source keeps its time, so that it gives the same packages."""
        before = self.old.component(name, architecture) if self.old else None
        if before and before.source.model_copy(update={"epoch": source.epoch}) == source:
            return before.source
        return source

    def _with_set(self, name: str, architecture: str) -> LockedComponent:
        """The component, after what it is built with has been solved: perhaps with packages that it has already."""
        locked = self.components[name, architecture]
        if name in self._working:
            raise _circle([*self._working[self._working.index(name) :], name])
        request = self._requests.pop(locked.identity, None)
        if request is not None:
            self._working.append(name)
            try:
                self.sets[request.name, architecture] = self._solved(locked, request)
            finally:
                self._working.pop()
        self.components[locked.identity] = locked = self._built_before(locked)
        return locked

    def _solved(self, locked: LockedComponent, request: SetRequest) -> LockedSet:
        before = self.old.find(request.name, request.architecture) if self.old else None
        with self.world.progress.step(f"solve {request.name} for {request.architecture}") as remark:
            solution = self.solve(locked.upstream, request, keep=self.keep(before), without=locked.name)
            remark(f"{len(solution.packages)} packages")
        return LockedSet(
            name=request.name,
            architecture=request.architecture,
            upstream=locked.upstream,
            request=sha256_json({"packages": list(request.packages), "relations": list(request.relations)}),
            packages=solution.packages,
        )

    def _built_before(self, locked: LockedComponent) -> LockedComponent:
        """With the packages that are locked already, if it is made of and with the same."""
        before = self.old.component(locked.name, locked.architecture) if self.old else None
        if locked.name in self.anew:
            return locked
        if self.old is None or before is None or before.outcome != Outcome.BUILT or locked.outcome != Outcome.LOCKED:
            return locked
        set_key = (locked.build_set, locked.architecture)
        old_set, new_set = self.old.find(*set_key), self.sets.get(set_key)
        same_tools = (old_set.packages if old_set else None) == (new_set.packages if new_set else None)
        if same_tools and (before.key, before.source) == (locked.key, locked.source):
            return before
        return locked

    def _build_for(self, upstream: str, request: SetRequest, names: AbstractSet[str], without: str) -> None:
        for one in self._unbuilt(upstream, request.architecture, names, without):
            self.build(one.name, one.architecture)

    def _unbuilt(
        self, upstream: str, architecture: str, names: AbstractSet[str], without: str
    ) -> list[LockedComponent]:
        return [
            one
            for one in self.components.values()
            if one.outcome == Outcome.LOCKED
            and (one.upstream, one.architecture) == (upstream, architecture)
            and one.name != without
            and not names.isdisjoint(one.gives)
        ]

    def _ours_alone(self, upstream: str, request: SetRequest) -> set[str]:
        """Names in the relations of a request that components give and the upstream has not: no solver would find
        them before they are built."""
        given = {
            name
            for one in self.components.values()
            if (one.upstream, one.architecture) == (upstream, request.architecture)
            for name in one.gives
        }
        named = {word for relation in request.relations for word in _NAME.findall(relation)} & given
        repositories = self.repositories[upstream]
        return {name for name in named if repositories.newest(name, request.architecture) is None}

    def _solver(self, upstream: str, architecture: str, without: str) -> Solver:
        offered = [
            one
            for one in self.components.values()
            if one.packages and (one.upstream, one.architecture) == (upstream, architecture) and one.name != without
        ]
        key = (upstream, architecture, tuple(sorted(one.name for one in offered)))
        if key not in self._solvers:
            repositories = self.repositories[upstream]
            if offered:
                packages = [package for one in offered for package in one.packages]
                repositories = repositories.offering(packages, architecture)
            self._solvers[key] = self.stack.enter_context(repositories.solver(self.solving, self.world.store))
        return self._solvers[key]


def require_ours(
    components: Iterable[LockedComponent], upstream: str, request: SetRequest, packages: Iterable[LockedPackage]
) -> None:
    """Refuse a set that takes from the upstream what a component of ours gives: it would lack what our overlays did.

    Raises DefinitionError that names both.
    """
    owners = {
        name: one
        for one in components
        if one.outcome == Outcome.BUILT and (one.upstream, one.architecture) == (upstream, request.architecture)
        for name in one.gives
    }
    for package in packages:
        owner = owners.get(package.name)
        if owner is not None and package.archive != COMPONENTS:
            had = [built.package.version for built in owner.packages if built.package.name == package.name]
            raise DefinitionError(
                f"'{request.name}' takes '{package.name}' {package.version} of the upstream's, and the component "
                f"'{owner.name}' gives it",
                where=f"components/{owner.name} ({owner.architecture})",
                details=f"built here: {had[0] if had else 'none of that name'}",
                resolution=f"`zaffre lock --update {owner.name}` if the upstream has a newer one that others need; "
                "drop the package from the component if it is not to give it",
            )


def _circle(names: Sequence[str]) -> DefinitionError:
    return DefinitionError(
        f"the components {' and '.join(dict.fromkeys(names))} need each other to be built",
        where=f"components/{names[0]}",
        details=" is built with ".join(names),
        resolution="let one of them be built with the upstream's packages: take the other's out of its build "
        "dependencies by an overlay, or leave one of them as the upstream has it",
    )
