# SPDX-License-Identifier: Apache-2.0
"""The same work under other circumstances, in a process of its own: for proving that they don't matter.

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
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

from zaffre.errors import WorldError, ZaffreError

T = TypeVar("T")

_CLONE_NEWUTS = 0x04000000  # sched.h
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclass(frozen=True)
class Circumstances:
    """What must not matter to a build. Clock and processors are for its sandbox, the rest is made so here."""

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


def elsewhere(work: Callable[..., T], circumstances: Circumstances, *arguments: object) -> T:
    """What `work(circumstances, *arguments)` returns in a process of its own; all of it must be picklable.

    Raises what the work raises, if it is an error of ours, else WorldError.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(work, circumstances, arguments, sender.send_bytes))
    process.start()
    sender.close()
    try:
        good, answer = pickle.loads(receiver.recv_bytes())  # noqa: S301 - from our own child
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
    if not good:
        raise answer
    return cast("T", answer)


def _child(
    work: Callable[..., object],
    circumstances: Circumstances,
    arguments: tuple[object, ...],
    send: Callable[[bytes], None],
) -> None:
    try:
        _belong_to_the_parent()
        _apply(circumstances)
        send(pickle.dumps((True, work(circumstances, *arguments))))
    except ZaffreError as error:
        send(pickle.dumps((False, error)))
    except OSError as error:
        failure = WorldError(f"a build failed: {error.strerror or error}", where=error.filename)
        send(pickle.dumps((False, failure)))


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
