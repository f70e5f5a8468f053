# SPDX-License-Identifier: Apache-2.0
"""The same build twice, from nothing, under other circumstances; and where two builds differ.

What must not matter is made different on purpose, after the example of reprotest(1): the clock, the folder and
the store, the user's umask and locale, the time zone, the host's name, and the number of processors.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import signal
import socket
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from zaffre.definition import load_distribution
from zaffre.errors import WorldError, ZaffreError
from zaffre.image.builder import Builder, Order
from zaffre.image.differences import Difference, differences
from zaffre.image.output import ManifestSigner
from zaffre.image.uki import SigningKeys
from zaffre.manifest import Manifest
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream import Lock, LockedPackage

_CLONE_NEWUTS = 0x04000000  # sched.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Circumstances:
    """What must not matter to a build."""

    name: str
    clock_offset_seconds: int
    umask: int
    environment: tuple[tuple[str, str], ...]
    host_name: str
    jobs: int | None


FIRST = Circumstances("first", 0, 0o022, (("LANG", "C.UTF-8"), ("TZ", "UTC")), "alpha", None)
SECOND = Circumstances(
    "second, elsewhere",
    86400 * 397 + 4711,
    0o077,
    (("LANG", "tr_TR.UTF-8"), ("LC_ALL", "tr_TR.UTF-8"), ("TZ", "Pacific/Kiritimati"), ("HOME", "/nonexistent")),
    "omega.example",
    1,
)


@dataclass(frozen=True)
class Recipe:
    """All that a build needs, in a form that another process can be given."""

    distribution: Path
    lock: Lock
    order: Order
    keys: SigningKeys
    signer: ManifestSigner
    tools: ToolsTree
    packages: Path
    """Root of the store that holds the packages; nothing else is taken from it."""


@dataclass(frozen=True)
class Comparison:
    """Two builds and their differences; none means bit for bit the same."""

    artifacts: dict[str, str]
    """SHA-256 of each artifact of the first build."""
    differences: tuple[Difference, ...]


def reproduce(recipe: Recipe, *, progress: Progress) -> Comparison:
    """Build twice, each time in a new store, and compare every artifact. Raises what a build raises."""
    with tempfile.TemporaryDirectory(prefix="zaffre-reproduce-", dir=recipe.packages) as scratch:
        folders = []
        for number, circumstances in enumerate((FIRST, SECOND)):
            place = Path(scratch, circumstances.name)
            place.mkdir()
            with progress.step(f"build {number + 1} of 2, from nothing") as remark:
                folders.append(_build_elsewhere(recipe, circumstances, place))
                remark(f"as on {circumstances.host_name}, clock {circumstances.clock_offset_seconds:+d} s")
        with progress.step("compare"):
            found = differences(folders[0], folders[1], sandbox=Sandbox(recipe.tools), scratch=Path(scratch))
        manifest = Manifest.model_validate_json((folders[0] / "manifest.json").read_bytes())
    return Comparison({name: one.sha256 for name, one in manifest.artifacts.items()}, tuple(found))


def _build_elsewhere(recipe: Recipe, circumstances: Circumstances, place: Path) -> Path:
    """Run a build in a process of its own; returns its folder."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(recipe, circumstances, place, sender.send_bytes))
    process.start()
    sender.close()
    try:
        answer = pickle.loads(receiver.recv_bytes())  # noqa: S301 - from our own child
    except KeyboardInterrupt:
        process.kill()
        raise
    except EOFError:
        process.join()
        raise WorldError(
            f"the build ({circumstances.name}) ended without an answer (exit code {process.exitcode})",
            resolution="look at the kernel's log for a lack of memory, and run again",
        ) from None
    finally:
        receiver.close()
        process.join()
    if isinstance(answer, ZaffreError):
        raise answer
    if not isinstance(answer, Path):
        raise WorldError(f"the build ({circumstances.name}) failed", details=str(answer))
    return answer


def _child(recipe: Recipe, circumstances: Circumstances, place: Path, send: Callable[[bytes], None]) -> None:
    try:
        _belong_to_the_parent()
        _apply(circumstances)
        send(pickle.dumps(_build(recipe, circumstances, place)))
    except ZaffreError as error:
        send(pickle.dumps(error))
    except OSError as error:
        send(pickle.dumps(WorldError(f"a build failed: {error.strerror or error}", where=error.filename)))


def _belong_to_the_parent() -> None:
    """Interrupts are for the parent, who kills us; and nobody is left to build when it was killed itself (prctl(2))."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _apply(circumstances: Circumstances) -> None:
    os.umask(circumstances.umask)
    os.environ.update(dict(circumstances.environment))
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWUTS) != 0:
        raise WorldError("the host's name could not be changed for the build", details=os.strerror(ctypes.get_errno()))
    socket.sethostname(circumstances.host_name)


def _build(recipe: Recipe, circumstances: Circumstances, place: Path) -> Path:
    packages = Store(recipe.packages)
    store = Store(place / "store")

    def fetch(wanted: Iterable[LockedPackage]) -> None:
        for package in wanted:
            store.add_file(packages.path(package.digest), expected=package.digest)

    sandbox = Sandbox(recipe.tools, clock_offset_seconds=circumstances.clock_offset_seconds, jobs=circumstances.jobs)
    builder = Builder(
        distribution=load_distribution(recipe.distribution),
        lock=recipe.lock,
        store=store,
        keys=recipe.keys,
        signer=recipe.signer,
        progress=SILENT,
        tools_key=recipe.tools.key,
        sandbox=lambda: sandbox,
        fetch=fetch,
    )
    return builder.build(replace(recipe.order, out=place / "out")).folder
