# SPDX-License-Identifier: Apache-2.0
"""`zaffre lock`: bring the lock to what the definition asks for, changing as little as is asked to change.

What needs later steps (a tools tree to run apt in, a configured root to learn users from) is passed in.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches

from zaffre.definition import Distribution, Kind, Upstream
from zaffre.digest import EMPTY
from zaffre.errors import DefinitionError
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.diff import LockDiff, diff_locks
from zaffre.upstream.download import Limits
from zaffre.upstream.family import Repositories, family_of
from zaffre.upstream.fetch import DroppedError, fetch
from zaffre.upstream.lock import Lock, LockedPackage, LockedSet, LockedSuite, Users
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.requests import TOOLS, Wanted, all_wanted, base_moved, host_architecture, staleness

ToolsFor = Callable[[LockedSet], AbstractContextManager[Sandbox]]
"""A sandbox with the tools tree of a locked set, whose packages are in the store already."""
LearnUsers = Callable[[LockedSet, Sandbox, int], Users]
"""The ids that the scripts of a set give, starting from those that the set has already. The number is the lock's
epoch, so that the root that is configured for this is the one that the build will want."""


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
class World:
    """What locking reaches outside for."""

    mirrors: Mirrors
    store: Store
    tools: ToolsFor
    learn_users: LearnUsers | None = None
    progress: Progress = SILENT
    limits: Limits | None = None


@dataclass(frozen=True)
class _Job:
    """One run of `zaffre lock`."""

    distribution: Distribution
    old: Lock | None
    world: World
    now: datetime
    images: Sequence[str] | None

    def fetch(self, packages: Sequence[LockedPackage], created: datetime) -> None:
        """Bring packages into the store, from where a lock made at `created` can be fetched."""
        world = self.world
        fetch(
            packages,
            world.mirrors.at(created),
            world.store,
            world.progress,
            limits=world.limits,
            acceptance=Acceptance(self.distribution, world.store, now=created),
        )


def lock_distribution(
    distribution: Distribution,
    old: Lock | None,
    world: World,
    *,
    now: datetime,
    images: Sequence[str] | None = None,
    architectures: Sequence[str] = (),
    update: Collection[str] | None = None,
) -> Locking:
    """The lock that answers the definition.

    Sets that `old` answers already stay untouched, and a set that has to be solved again keeps the locked
    versions it can keep. `update` frees packages, by their names or their sources' names, in all sets; an
    empty `update` frees everything. When nothing has to be solved, the network is not reached at all.

    Raises DefinitionError for what cannot be solved, WorldError and IntegrityError for what the mirrors give.
    """
    job = _Job(distribution, old, world, now, images)
    machine = str(host_architecture())
    wanted = all_wanted(distribution, old, images=images, architectures=architectures, tools_architecture=machine)
    free = _freed(old, update)
    locked = {one.key: one for one in old.sets} if old else {}
    todo = {one.key for one in wanted if _must_solve(one, locked.get(one.key), old, update, free)}
    for one in wanted:  # bases come first
        if one.base and (one.base, one.request.architecture) in todo:
            todo.add(one.key)
    if not todo:
        lock = _assemble(job, [locked[one.key] for one in wanted], ())
        return Locking(lock, old, diff_locks(old, lock))
    repositories = _refreshed(job, [wanted[0], *(one for one in wanted if one.key in todo)])
    solved = dict(locked)
    released: dict[tuple[str, str], tuple[str, ...]] = {}
    with ExitStack() as stack:
        sandbox, tools = _solving_tools(job, wanted[0], repositories, stack)
        if tools is not None:
            solved[tools.key] = tools
            todo.discard(tools.key)
        solvers = {name: stack.enter_context(one.solver(sandbox, world.store)) for name, one in repositories.items()}
        for one in wanted:
            if one.key not in todo:
                continue
            before = locked.get(one.key)
            keep = _kept(before, update, free)
            below = solved.get((one.base, one.request.architecture)) if one.base else None
            if below is not None:
                keep |= {package.name: package.version for package in below.packages}
            with world.progress.step(f"solve {one.request.name} for {one.request.architecture}") as remark:
                solution = solvers[one.upstream.name].solve(one.request, keep=keep)
                packages = solution.packages
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
    sets = [solved[one.key] for one in wanted]
    suites = tuple(suite for one in repositories.values() for suite in one.suites)
    lock = _assemble(job, sets, suites)
    lock = _with_users(job, lock, [one for one in wanted if one.kind == Kind.HOST], machine)
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
    known = {package.name for package in packages} | {package.source for package in packages}
    for name in update or ():
        if name not in known:
            near = get_close_matches(name, known, n=3)
            raise DefinitionError(
                f"the lock has no package and no source '{name}'",
                where="--update",
                resolution=f"did you mean {' or '.join(map(repr, near))}?" if near else "`zaffre lock` adds packages",
            )
    named = set(update or ())
    sources = {package.source for package in packages if package.name in named or package.source in named}
    return frozenset(package.name for package in packages if package.source in sources)


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


def _refreshed(job: _Job, todo: Sequence[Wanted]) -> dict[str, Repositories]:
    """Verified repositories of each upstream that is needed, for the architectures that are needed."""
    upstreams: dict[str, Upstream] = {}
    machines: dict[str, set[str]] = {}
    for one in todo:
        upstreams[one.upstream.name] = one.upstream
        machines.setdefault(one.upstream.name, set()).add(one.request.architecture)
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
            return stack.enter_context(_fetched(before, job, old.created)), None
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
    with _fetched(seed, job, job.now) as sandbox, world.progress.step(f"solve {TOOLS} for {architecture}") as remark:
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
    return stack.enter_context(_fetched(tools, job, job.now)), tools


@contextmanager
def _fetched(one: LockedSet, job: _Job, created: datetime) -> Iterator[Sandbox]:
    job.fetch(one.packages, created)
    with job.world.tools(one) as sandbox:
        yield sandbox


def _known_users(before: LockedSet | None, wanted: Wanted, solved: Mapping[tuple[str, str], LockedSet]) -> Users:
    """Ids to start from: the set's own, else those of the same image on another architecture."""
    if before is not None and before.users:
        return before.users
    return next((one.users for one in solved.values() if one.name == wanted.request.name and one.users), Users())


def _assemble(job: _Job, sets: Sequence[LockedSet], suites: Sequence[LockedSuite]) -> Lock:
    """The new lock, or `old` itself if all sets are the same. Images that were not asked about stay as they are."""
    old, identity = job.old, job.distribution.identity.id
    mine = {one.key for one in sets}
    others = [
        one
        for one in (old.sets if old else ())
        if one.key not in mine
        and (one.name == TOOLS or (job.images is not None and one.name in job.distribution.images))
    ]
    fresh = {one.key for one in suites}
    kept_suites = [
        one
        for one in (old.suites if old else ())
        if one.key not in fresh and one.upstream in job.distribution.upstreams
    ]
    everything = tuple(sorted((*sets, *others), key=lambda one: (one.name != TOOLS, *one.key)))
    if old is not None and old.distribution == identity and everything == _ordered(old):
        return old
    created = job.now.replace(microsecond=0)
    same_day = old is not None and old.created.date() == created.date()
    return Lock(
        distribution=identity,
        created=created,
        serial=old.serial + 1 if old is not None and same_day else 1,
        suites=tuple(sorted((*kept_suites, *suites), key=lambda one: one.key)),
        sets=everything,
    )


def _ordered(lock: Lock) -> tuple[LockedSet, ...]:
    return tuple(sorted(lock.sets, key=lambda one: (one.name != TOOLS, *one.key)))


def _with_users(job: _Job, lock: Lock, hosts: Sequence[Wanted], machine: str) -> Lock:
    """The lock with the ids that scripts give, where packages changed or none are known yet.

    Scripts of another architecture can't be run here: such a set starts from the ids that are known.
    """
    old, world = job.old, job.world
    if world.learn_users is None or lock is old:
        return lock
    learned: dict[tuple[str, str], Users] = {}
    todo = []
    for wanted in hosts:
        one = lock.set(*wanted.key)
        before = old.find(*wanted.key) if old else None
        if one.architecture == machine and not (one.users and before and before.packages == one.packages):
            todo.append(one)
    if not todo:
        return lock
    with _fetched(lock.set(TOOLS, machine), job, lock.created) as sandbox:
        for one in todo:
            job.fetch(one.packages, lock.created)
            with world.progress.step(f"users and groups of {one.name}") as remark:
                learned[one.key] = world.learn_users(one, sandbox, lock.epoch)
                remark(f"{len(learned[one.key].users)} users, {len(learned[one.key].groups)} groups")
    by_name = {key[0]: users for key, users in learned.items()}
    sets = [
        one.model_copy(update={"users": learned.get(one.key) or one.users or by_name.get(one.name, Users())})
        for one in lock.sets
    ]
    return lock.model_copy(update={"sets": tuple(sets)})
