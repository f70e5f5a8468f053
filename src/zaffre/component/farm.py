# SPDX-License-Identifier: Apache-2.0
"""Many builds at once, on Dask: its cluster on this machine, or a scheduler whose workers share the store.

A task is one component; it waits for those that it is built with. What a task makes is in the store when it ends,
so a worker that dies loses only the build that it was at, which is begun again elsewhere, and a run that is
interrupted goes on where it was.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING

from zaffre.component.engine import CODE, Built, ComponentEngine
from zaffre.component.graph import Identity, build_order
from zaffre.definition import load_distribution
from zaffre.digest import JSON, sha256_json, source_digest
from zaffre.errors import WorldError, ZaffreError
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.fetch import fetch
from zaffre.upstream.lock import COMPONENTS, Lock, LockedComponent, LockedSet
from zaffre.upstream.mirrors import Mirrors

if TYPE_CHECKING:
    from distributed import Client, Future

_LOST_TWICE = 2
_CONNECT = 10
# So many components are told by name, and more by their number.
_NAMED = 3


@dataclass(frozen=True)
class Farm:
    """What every task is given: all of it is the same for whoever does the work."""

    distribution: Path
    store: Path
    tools: ToolsTree
    mirrors: Mirrors
    created: datetime
    use_cache: bool = True


def build_one(farm: Farm, locked: LockedComponent, installed: LockedSet | None, *needs: object) -> Built:
    """The task. `needs` are results that it waits for: their packages are in the store then."""
    del needs
    store = Store(farm.store)
    distribution = load_distribution(farm.distribution)
    if installed is not None:
        theirs = [one for one in installed.packages if one.archive != COMPONENTS]
        acceptance = Acceptance(distribution.upstreams.values(), store, now=farm.created)
        fetch(theirs, farm.mirrors.at(farm.created), store, acceptance=acceptance)
    engine = ComponentEngine(distribution, store, farm.mirrors, SILENT)
    sandbox = Sandbox(farm.tools)
    return engine.built(locked, installed, sandbox, created=farm.created, use_cache=farm.use_cache)


def task_key(farm: Farm, locked: LockedComponent, installed: LockedSet | None) -> str:
    """The name of a task: a scheduler gives the result of one that it knows to whoever asks for the same name.

    So all that `build_one` is given is in it, our own code too, and a build without the cache is a task of its own.
    """
    given: dict[str, JSON] = {
        "distribution": str(farm.distribution),
        "store": str(farm.store),
        "tools": farm.tools.key,
        "mirrors": [repr(one) for one in farm.mirrors.entries],
        "created": farm.created.isoformat(),
        "locked": locked.model_dump(mode="json"),
        "installed": installed.model_dump(mode="json") if installed else None,
        "code": source_digest(*CODE),
        "alone": None if farm.use_cache else token_hex(),
    }
    return f"{locked.name}-{locked.architecture}-{sha256_json(given)}"


def build_all(
    farm: Farm, lock: Lock, wanted: Sequence[LockedComponent], *, scheduler: str | None, progress: Progress
) -> Mapping[Identity, Built]:
    """Build what is wanted and what it needs. Raises the first failure, after the builds that run have ended."""
    order = build_order(lock, wanted)
    by_identity = {one.identity: one for one in lock.components}
    with _client(scheduler, at_once=len(order), progress=progress) as client:
        from distributed import as_completed  # noqa: PLC0415 - loading it takes long, and one build does without

        futures: dict[Identity, Future[Built]] = {}
        for identity, needs in order.items():
            locked = by_identity[identity]
            installed = lock.find(locked.build_set, locked.architecture)
            futures[identity] = client.submit(
                build_one,
                farm,
                locked,
                installed,
                *(futures[one] for one in needs),
                key=task_key(farm, locked, installed),
                retries=0,
            )
        names = {future.key: identity for identity, future in futures.items()}
        done: dict[Identity, Built] = {}
        failure: BaseException | None = None
        title = ", ".join(name for name, _ in order) if len(order) <= _NAMED else f"{len(order)} components"
        with progress.step(f"build {title}") as remark:
            for number, future in enumerate(as_completed(futures.values()), 1):
                identity = names[future.key]
                remark(f"{number} of {len(order)}")
                if future.status != "finished":
                    # What runs is let run to its end, since it is of use; what needs this one has failed with it.
                    failure = failure or _failure(identity, future.exception())
                    continue
                done[identity] = future.result()
                progress.note(f"{identity[0]}: {_told(done[identity])}")
    if failure is not None:
        raise failure
    return done


def _told(built: Built) -> str:
    return "in the store" if built.cached else f"built in {built.wall_seconds:.0f} s"


def _failure(identity: Identity, error: BaseException | None) -> BaseException:
    if isinstance(error, ZaffreError):
        return error
    return WorldError(
        f"the build of '{identity[0]}' was lost: {error}",
        where=f"{identity[0]} ({identity[1]})",
        resolution="workers that were building it ended: look at their logs for a lack of memory, and run it again; "
        "what was finished is kept",
    )


@contextmanager
def _client(scheduler: str | None, *, at_once: int, progress: Progress) -> Iterator[Client]:
    import dask  # noqa: PLC0415 - as above
    from distributed import Client, LocalCluster  # noqa: PLC0415 - as above

    # A build that took its worker down twice will do it again.
    settings: dict[str, object] = {"distributed.scheduler.allowed-failures": _LOST_TWICE}
    with dask.config.set(settings):
        if scheduler is not None:
            with _connected(scheduler, Client) as client:
                progress.note(f"on {scheduler}: {len(client.scheduler_info()['workers'])} workers")
                yield client
            return
        workers = max(1, min(at_once, os.cpu_count() or 1))
        with (
            LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=50,
            ) as cluster,
            Client(cluster) as client,
        ):
            yield client


@contextmanager
def _connected(scheduler: str, connect: Callable[..., Client]) -> Iterator[Client]:
    try:
        client = connect(scheduler, timeout=_CONNECT)
    except (OSError, ValueError) as error:
        raise WorldError(
            f"no scheduler answers at {scheduler}",
            where="--scheduler",
            details=str(error),
            resolution="start one with `dask scheduler`, and workers that see the same store with `dask worker`",
        ) from error
    with client:
        yield client
