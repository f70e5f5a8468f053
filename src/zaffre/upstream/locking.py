# SPDX-License-Identifier: Apache-2.0
"""`zaffre lock`: bring the lock to what the definition asks for, changing as little as is asked to change.

What needs later steps (a tools tree to run apt in, a configured root to learn users from) is passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches

from zaffre.definition import TOOLS, Component, Distribution, Upstream
from zaffre.digest import EMPTY
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox
from zaffre.upstream.archived import choose_sources
from zaffre.upstream.assemble import Job, assemble, every_set
from zaffre.upstream.beside import apart, too_far, versions_beside
from zaffre.upstream.diff import LockDiff, diff_locks
from zaffre.upstream.family import Repositories, family_of
from zaffre.upstream.fetch import DroppedError
from zaffre.upstream.learning import with_users
from zaffre.upstream.lock import Lock, LockedComponent, LockedPackage, LockedSet, Users
from zaffre.upstream.plan import Plan, may_give, plan_components
from zaffre.upstream.requests import (
    Purpose,
    Wanted,
    all_wanted,
    base_moved,
    host_architecture,
    staleness,
)
from zaffre.upstream.shelf import Shelf, require_ours
from zaffre.upstream.sourcing import lacking
from zaffre.upstream.world import World


@dataclass(frozen=True)
class Locking:
    """How a lock came about. `released`: for each set, packages that could not keep their version."""

    lock: Lock
    old: Lock | None
    diff: LockDiff
    released: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    @property
    def changed(self) -> bool:
        """Whether the lock file has to be written."""
        return self.lock != self.old


def lock_distribution(
    distribution: Distribution,
    old: Lock | None,
    world: World,
    *,
    now: datetime,
    images: Sequence[str] | None = None,
    architectures: Sequence[str] = (),
    update: Collection[str] | None = None,
    components: Collection[str] = (),
) -> Locking:
    """The lock that answers the definition.

    Sets that `old` answers already stay untouched, and a set that has to be solved again keeps the locked
    versions it can keep. `update` frees packages, by their names or their sources' names, in all sets; an
    empty `update` frees everything. When nothing has to be solved, the network is not reached at all.

    Components that differ from the upstream are locked, and those named by `components`; they are built when an
    image takes a package of theirs.

    Raises DefinitionError for what cannot be solved, WorldError and IntegrityError for what the mirrors give.
    """
    job = Job(distribution, old, world, now, images)
    machine = str(host_architecture())
    wanted = all_wanted(distribution, old, images=images, architectures=architectures, tools_architecture=machine)
    free = _freed(old, update)
    locked = {one.key: one for one in old.sets} if old else {}
    todo = {one.key for one in wanted if _must_solve(job, one, locked.get(one.key), update, free)}
    plan = _plan(job, wanted, free, update, components)
    for one in wanted:  # bases come first
        moved = one.takes_ours and one.request.architecture in plan.upstreams.get(one.upstream.name, ())
        if moved or (one.base and (one.base, one.request.architecture) in todo):
            todo.add(one.key)
    unsourced = distribution.gives_sources and (old is None or bool(lacking(distribution, old)))
    if not todo and not plan.changed and not unsourced:
        lock = assemble(job, [*(locked[one.key] for one in wanted), *plan.kept_sets], plan.kept, ())
        return Locking(lock, old, diff_locks(old, lock))
    asked = all_wanted(distribution, old, architectures=architectures) if unsourced else ()
    repositories = _refreshed(job, [wanted[0], *(one for one in wanted if one.key in todo), *asked], plan)
    solved = dict(locked)
    released: dict[tuple[str, str], tuple[str, ...]] = {}
    with ExitStack() as stack:
        sandbox, tools = _solving_tools(job, wanted[0], repositories, stack)
        if tools is not None:
            solved[tools.key] = tools
            todo = (todo - {tools.key}) | {one.key for one in wanted if one.base == TOOLS}
        shelf = Shelf(distribution, old, world, repositories, sandbox, now, stack, lambda one: _kept(one, update, free))
        for one in wanted:
            if one.takes_ours and not shelf.filled:  # the tools come first, and build what images take
                shelf.fill(plan, stack, solved[wanted[0].key])
            before = locked.get(one.key)
            if one.key not in todo and not (before and _is_apart(job, one, before, solved)):
                continue
            keep = _kept(before, update, free)
            if one.purpose is Purpose.REPOSITORY:
                keep |= versions_beside(distribution, one.upstream.name, one.request.architecture, solved.values())
            below = solved.get((one.base, one.request.architecture)) if one.base else None
            if below is not None:
                keep |= {package.name: package.version for package in below.packages}
            with world.progress.step(f"solve {one.request.name} for {one.request.architecture}") as remark:
                solution = shelf.solve(one.upstream.name, one.request, keep=keep)
                packages = solution.packages
                if one.takes_ours:
                    require_ours(shelf.components.values(), one.upstream.name, one.request, packages)
                if below is not None:
                    packages = _additions(one, packages, below)
                remark(f"{len(packages)} packages, {sum(package.size for package in packages) / 1e6:.1f} MB")
            if solution.released:
                released[one.key] = solution.released
            made = LockedSet(
                name=one.request.name,
                architecture=one.request.architecture,
                upstream=one.upstream.name,
                request=one.digest,
                users=_known_users(before, one, solved),
                packages=packages,
            )
            if _is_apart(job, one, made, solved):
                raise too_far(distribution, made, solved.values())
            solved[one.key] = made
        sets = [*(solved[one.key] for one in wanted), *shelf.sets.values()]
        suites = tuple(suite for one in repositories.values() for suite in one.suites)
        sources = choose_sources(job, every_set(job, sets), tuple(shelf.components.values()), repositories)
        lock = assemble(job, sets, shelf.components.values(), suites, sources)
        lock = with_users(lock, old, world, {one.key for one in wanted if one.learns_users}, shelf)
    return Locking(lock, old, diff_locks(old, lock), released)


def _must_solve(
    job: Job, wanted: Wanted, locked: LockedSet | None, update: Collection[str] | None, free: frozenset[str]
) -> bool:
    old = job.old
    if locked is None or old is None or staleness(wanted, locked) is not None:
        return True
    if _is_apart(job, wanted, locked, {one.key: one for one in old.sets}):
        return True
    if wanted.base and base_moved(locked, old, wanted.base) is not None:
        return True
    return update is not None and (not update or any(package.name in free for package in locked.packages))


def _is_apart(job: Job, wanted: Wanted, locked: LockedSet, sets: Mapping[tuple[str, str], LockedSet]) -> bool:
    """Whether what is published besides the images is locked at other versions than servers have."""
    return wanted.purpose is Purpose.REPOSITORY and apart(job.distribution, locked, sets.values()) is not None


def _freed(old: Lock | None, update: Collection[str] | None) -> frozenset[str]:
    """Names of packages whose version may change: those named, and all that come from the same source."""
    packages = [package for one in old.sets for package in one.packages] if old else []
    components = {one.name for one in old.components} if old else set()
    known = {package.name for package in packages} | {package.source for package in packages} | components
    for name in update or ():
        if name not in known:
            near = get_close_matches(name, known, n=3)
            raise DefinitionError(
                f"the lock has no package, no source and no component '{name}'",
                where="--update",
                resolution=f"did you mean {' or '.join(map(repr, near))}?" if near else "`zaffre lock` adds packages",
            )
    named = set(update or ())
    sources = {package.source for package in packages if package.name in named or package.source in named}
    return frozenset(package.name for package in packages if package.source in sources)


def _plan(
    job: Job,
    wanted: Sequence[Wanted],
    free: frozenset[str],
    update: Collection[str] | None,
    named: Collection[str],
) -> Plan:
    old = job.old
    if job.world.engine is None:
        return Plan()

    def freed(locked: LockedComponent) -> bool:
        if update is None:
            return False
        built_with = old.find(locked.build_set, locked.architecture) if old else None
        names = {*locked.gives, *(package.name for package in (built_with.packages if built_with else ()))}
        return not update or bool({locked.name, locked.source.name} & set(update)) or bool(names & free)

    def concerned(component: Component, locked: LockedComponent | None) -> bool:
        return job.images is None or may_give(component, locked, taken)

    takers = [one for one in wanted if one.takes_ours]
    sets = [found for one in takers if old and (found := old.find(*one.key))]
    taken = {name for one in takers for name in one.request.packages}
    taken |= {package.name for one in sets for package in one.packages}
    machines = {one.request.architecture for one in takers}
    return plan_components(
        job.distribution, old, machines, named=named, anew=update or (), freed=freed, concerned=concerned
    )


def _kept(before: LockedSet | None, update: Collection[str] | None, free: frozenset[str]) -> dict[str, str]:
    if before is None or (update is not None and not update):
        return {}
    return {package.name: package.version for package in before.packages if package.name not in free}


def _additions(wanted: Wanted, packages: tuple[LockedPackage, ...], below: LockedSet) -> tuple[LockedPackage, ...]:
    """What a sysext names, as its base has it, and what it needs that its base hasn't got."""
    base = {package.name: package for package in below.packages}
    new = [one for one in packages if one.name not in base]
    moved = [
        f"{one.name} {base[one.name].version} -> {one.version}"
        for one in packages
        if one.name in base and base[one.name].version != one.version
    ]
    # Versions that only moved because the mirrors dropped the base's do no harm while nothing is built on them.
    if new and moved:
        raise DefinitionError(
            f"'{wanted.request.name}' needs other versions of packages than its base '{below.name}' has",
            where=f"{wanted.request.name}: base",
            details="\n".join(moved),
            resolution="run `zaffre lock --update`, which moves both",
        )
    return tuple(sorted((*new, *(base[name] for name in wanted.named if name in base)), key=lambda one: one.key))


def _refreshed(job: Job, todo: Sequence[Wanted], plan: Plan) -> dict[str, Repositories]:
    """Verified repositories of each upstream that is needed, for the architectures that are needed."""
    upstreams: dict[str, Upstream] = {}
    machines: dict[str, set[str]] = {}
    for one in todo:
        upstreams[one.upstream.name] = one.upstream
        machines.setdefault(one.upstream.name, set()).add(one.request.architecture)
    for component, architecture in plan.fresh:
        upstream = job.distribution.upstream_of_component(component)
        upstreams[upstream.name] = upstream
        machines.setdefault(upstream.name, set()).add(architecture)
    seen = {one.key: one.date for one in job.old.suites} if job.old else {}
    return {
        name: family_of(upstream).refresh(
            job.world.mirrors,
            job.world.store,
            architectures=sorted(machines[name]),
            now=job.now,
            not_before={(archive, suite): date for (owner, archive, suite), date in seen.items() if owner == name},
            progress=job.world.progress,
            limits=job.world.limits,
        )
        for name, upstream in upstreams.items()
    }


def _solving_tools(
    job: Job, wanted: Wanted, repositories: Mapping[str, Repositories], stack: ExitStack
) -> tuple[Sandbox, LockedSet | None]:
    """A sandbox with a solver; and the tools set, if it had to be solved on the way.

    The locked tools' solver is used when there is one. Only without it, or when its files are gone, does the
    bootstrap resolver give a solver, which solves the tools set, whose solver then solves all else.
    """
    old, world = job.old, job.world
    before = old.find(*wanted.key) if old else None
    if old is not None and before is not None:
        try:
            return stack.enter_context(world.fetched(before, job.distribution, old.created)), None
        except DroppedError as error:
            world.progress.note(f"the locked tools cannot be fetched any more, so new ones are locked: {error}")
    mine = repositories[wanted.upstream.name]
    architecture = wanted.request.architecture
    seed = LockedSet(
        name="seed",
        architecture=architecture,
        upstream=wanted.upstream.name,
        request=EMPTY,
        packages=mine.bootstrap(job.distribution.seed.packages, architecture),
    )
    with (
        world.fetched(seed, job.distribution, job.now) as sandbox,
        world.progress.step(f"solve {TOOLS} for {architecture}") as remark,
    ):
        with mine.solver(sandbox, world.store) as solver:
            packages = solver.solve(wanted.request).packages
        remark(f"{len(packages)} packages")
    tools = LockedSet(
        name=TOOLS,
        architecture=architecture,
        upstream=wanted.upstream.name,
        request=wanted.digest,
        packages=packages,
    )
    return stack.enter_context(world.fetched(tools, job.distribution, job.now)), tools


def _known_users(before: LockedSet | None, wanted: Wanted, solved: Mapping[tuple[str, str], LockedSet]) -> Users:
    """Ids to start from: the set's own, else those of the same image on another architecture."""
    if before is not None and before.users:
        return before.users
    return next((one.users for one in solved.values() if one.name == wanted.request.name and one.users), Users())
