# SPDX-License-Identifier: Apache-2.0
"""`zaffre lock`: bring the lock to what the definition asks for, changing as little as is asked to change.

What needs later steps (a tools tree to run apt in, a configured root to learn users from) is passed in.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches

from zaffre.definition import Component, Distribution, Upstream
from zaffre.digest import EMPTY
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox
from zaffre.upstream.diff import LockDiff, diff_locks
from zaffre.upstream.family import Repositories, family_of
from zaffre.upstream.fetch import DroppedError
from zaffre.upstream.learning import with_users
from zaffre.upstream.lock import (
    CROSS_PREFIX,
    TOOLS,
    Lock,
    LockedComponent,
    LockedPackage,
    LockedSet,
    LockedSuite,
    Users,
)
from zaffre.upstream.plan import Plan, may_give, plan_components
from zaffre.upstream.requests import Wanted, all_wanted, base_moved, host_architecture, staleness
from zaffre.upstream.shelf import Shelf, require_ours
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


@dataclass(frozen=True)
class _Job:
    """One run of `zaffre lock`."""

    distribution: Distribution
    old: Lock | None
    world: World
    now: datetime
    images: Sequence[str] | None


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
    job = _Job(distribution, old, world, now, images)
    machine = str(host_architecture())
    wanted = all_wanted(distribution, old, images=images, architectures=architectures, tools_architecture=machine)
    free = _freed(old, update)
    locked = {one.key: one for one in old.sets} if old else {}
    todo = {one.key for one in wanted if _must_solve(one, locked.get(one.key), old, update, free)}
    plan = _plan(job, wanted, free, update, components)
    for one in wanted:  # bases come first
        moved = one.kind is not None and one.request.architecture in plan.upstreams.get(one.upstream.name, ())
        if moved or (one.base and (one.base, one.request.architecture) in todo):
            todo.add(one.key)
    if not todo and not plan.changed:
        lock = _assemble(job, [*(locked[one.key] for one in wanted), *plan.kept_sets], plan.kept, ())
        return Locking(lock, old, diff_locks(old, lock))
    repositories = _refreshed(job, [wanted[0], *(one for one in wanted if one.key in todo)], plan)
    solved = dict(locked)
    released: dict[tuple[str, str], tuple[str, ...]] = {}
    with ExitStack() as stack:
        sandbox, tools = _solving_tools(job, wanted[0], repositories, stack)
        if tools is not None:
            solved[tools.key] = tools
            todo = (todo - {tools.key}) | {one.key for one in wanted if one.base == TOOLS}
        shelf = Shelf(distribution, old, world, repositories, sandbox, now, stack, lambda one: _kept(one, update, free))
        for one in wanted:
            if one.kind is not None and not shelf.filled:  # the tools come first, and build what images take
                shelf.fill(plan, stack, solved[wanted[0].key])
            if one.key not in todo:
                continue
            before = locked.get(one.key)
            keep = _kept(before, update, free)
            below = solved.get((one.base, one.request.architecture)) if one.base else None
            if below is not None:
                keep |= {package.name: package.version for package in below.packages}
            with world.progress.step(f"solve {one.request.name} for {one.request.architecture}") as remark:
                solution = shelf.solve(one.upstream.name, one.request, keep=keep)
                packages = solution.packages
                if one.kind is not None:
                    require_ours(shelf.components.values(), one.upstream.name, one.request, packages)
                if below is not None:
                    packages = _additions(one, packages, below)
                remark(f"{len(packages)} packages, {sum(package.size for package in packages) / 1e6:.1f} MB")
            if solution.released:
                released[one.key] = solution.released
            solved[one.key] = LockedSet(
                name=one.request.name,
                architecture=one.request.architecture,
                upstream=one.upstream.name,
                request=one.digest,
                users=_known_users(before, one, solved),
                packages=packages,
            )
        sets = [*(solved[one.key] for one in wanted), *shelf.sets.values()]
        suites = tuple(suite for one in repositories.values() for suite in one.suites)
        lock = _assemble(job, sets, shelf.components.values(), suites)
        lock = with_users(
            lock, old, world, {one.key for one in wanted if one.kind is not None and one.kind.boots}, shelf
        )
    return Locking(lock, old, diff_locks(old, lock), released)


def _must_solve(
    wanted: Wanted, locked: LockedSet | None, old: Lock | None, update: Collection[str] | None, free: frozenset[str]
) -> bool:
    if locked is None or old is None or staleness(wanted, locked) is not None:
        return True
    if wanted.base and base_moved(locked, old, wanted.base) is not None:
        return True
    return update is not None and (not update or any(package.name in free for package in locked.packages))


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
    job: _Job,
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
        return job.images is None or may_give(component, locked, names_of_images)

    images = [one for one in wanted if one.kind is not None]
    sets = [found for one in images if old and (found := old.find(*one.key))]
    names_of_images = {name for one in images for name in one.request.packages}
    names_of_images |= {package.name for one in sets for package in one.packages}
    machines = {one.request.architecture for one in images}
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


def _refreshed(job: _Job, todo: Sequence[Wanted], plan: Plan) -> dict[str, Repositories]:
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
    job: _Job, wanted: Wanted, repositories: Mapping[str, Repositories], stack: ExitStack
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


def _assemble(
    job: _Job, sets: Sequence[LockedSet], components: Iterable[LockedComponent], suites: Sequence[LockedSuite]
) -> Lock:
    """The new lock, or `old` itself if all sets are the same. Images that were not asked about stay as they are."""
    old, identity = job.old, job.distribution.identity.id
    mine = {one.key for one in sets}
    others = [
        one
        for one in (old.sets if old else ())
        if one.key not in mine
        and (_for_another_machine(one) or (job.images is not None and _is_wanted(one, job.distribution)))
    ]
    fresh = {one.key for one in suites}
    kept_suites = [
        one
        for one in (old.suites if old else ())
        if one.key not in fresh and one.upstream in job.distribution.upstreams
    ]
    everything = tuple(sorted((*sets, *others), key=_order))
    built = tuple(sorted(components, key=lambda one: one.identity))
    if (
        old is not None
        and old.distribution == identity
        and everything == tuple(sorted(old.sets, key=_order))
        and built == tuple(sorted(old.components, key=lambda one: one.identity))
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
    )


def _for_another_machine(one: LockedSet) -> bool:
    """Tools that another machine has locked for itself."""
    return one.name == TOOLS or one.name == f"{CROSS_PREFIX}{host_architecture()}"


def _is_wanted(one: LockedSet, distribution: Distribution) -> bool:
    return one.name in distribution.images or one.name.removeprefix(CROSS_PREFIX) in distribution.tools.cross


def _order(one: LockedSet) -> tuple[bool, str, str]:
    return one.name != TOOLS, *one.key
