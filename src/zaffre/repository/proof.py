# SPDX-License-Identifier: Apache-2.0
"""apt's own word that a snapshot lacks nothing: each set that it promises is solved from the snapshot alone."""

from __future__ import annotations

from zaffre.definition import MACHINES
from zaffre.definition.repository import OWN
from zaffre.errors import DefinitionError, FindingError
from zaffre.progress import Progress
from zaffre.repository.layout import index_path
from zaffre.repository.selection import Promise, Selection
from zaffre.repository.snapshot import Snapshot
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.index import Index, Indexes
from zaffre.upstream.deb.solve import Solver
from zaffre.upstream.lock import LockedPackage, LockedSuite


def prove(
    snapshot: Snapshot, selection: Selection, *, store: Store, sandbox: Sandbox, progress: Progress
) -> tuple[LockedPackage, ...]:
    """The spare packages that cannot be installed. Raises FindingError that names what else is missing, for whom.

    A promise is kept when apt, with an empty system and no other source, would install just its versions. What an image
    provides by itself (`provides`) counts as installed, as it did when the image was locked.
    """
    with progress.step("apt solves the snapshot") as remark:
        with Solver(_indexes(snapshot, store), sandbox, store) as solver:
            broken = [
                (promise, reason) for promise in selection.promises if (reason := _broken(solver, promise)) is not None
            ]
        remark(f"{len(selection.promises)} sets")
    lacking = [
        f"{promise.request.name} ({promise.request.architecture}):\n  {reason}"
        for promise, reason in broken
        if not promise.spare
    ]
    if lacking:
        raise FindingError(
            "the snapshot lacks what its own packages need",
            where=f"snapshot {snapshot.name}",
            details="\n".join(lacking),
            resolution="add what is missing to the packages of an image or of [repository], and run `zaffre lock`; "
            "nothing was published",
        )
    return tuple(package for promise, _ in broken for package in promise.packages)


def _broken(solver: Solver, promise: Promise) -> str | None:
    wanted = {one.key: one for one in promise.packages}
    try:
        found = solver.solve(promise.request, keep={one.name: one.version for one in promise.packages}).packages
    except DefinitionError as error:
        return "\n  ".join(f"{error.brief}\n{error.details or ''}".strip().splitlines())
    got = {one.key: one.sha256 for one in found}
    other = [one for key, one in wanted.items() if got.get(key) != one.sha256]
    return "apt would not install " + ", ".join(map(_said, other)) if other else None


def _said(package: LockedPackage) -> str:
    return f"{package.name} {package.version}"


def _indexes(snapshot: Snapshot, store: Store) -> Indexes:
    suite = LockedSuite(
        upstream=OWN,
        archive=OWN,
        suite=snapshot.suite,
        release_sha256=store.add_bytes(snapshot.release),
        date=snapshot.created,
    )
    mine = []
    for index in snapshot.indexes:
        component, _, rest = index.path.partition("/")
        architecture = rest.removeprefix("binary-").partition("/")[0]
        if component == MACHINES and index.path == index_path(component, architecture):
            mine.append(Index(suite, component, architecture, index.plain.sha256, store.path(index.plain.sha256)))
    return Indexes(OWN, (suite,), tuple(mine))
