# SPDX-License-Identifier: Apache-2.0
"""What a program costs: wall time, CPU time and memory of itself and of everything that it starts.

CPU time comes from the kernel's own accounts, wait4(2), of every process that has ended; we are the sub-reaper
(prctl(2)), so that the programs of a sandbox whose outer process ends first are counted too. Never run
two measurements at once: they would be one another's noise.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from noise import Noise

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_SAMPLE_SECONDS = 0.25
_TAIL_BYTES = 3000
_LAST_SECONDS = 10.0


class BenchError(Exception):
    """Something to be measured could not be; the message is for people."""


@dataclass(frozen=True)
class Cost:
    """Seconds and bytes. `process_bytes`: the largest resident set of one process, files that it maps included;
    `tree_bytes`: the most anonymous and shared memory of all processes together, seen four times a second;
    `others`: the share of the machine that other programs used meanwhile.
    """

    wall: float
    cpu: float
    process_bytes: int
    tree_bytes: int
    others: float


def measure(
    argv: Sequence[str],
    *,
    log: Path,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    pass_fds: Sequence[int] = (),
    done: Collection[int] = (0,),
) -> Cost:
    """Run a program to the end of all that it started; its output goes to `log`. `timeout` in seconds; `done` are the
    exit codes with which it has done its work.

    What earlier runs left to be written to the disk is written before the clock starts. Raises BenchError, with the
    end of the log, when the program fails or takes longer. Must be called by the only thread, and with no children.
    """
    os.sync()
    _become_subreaper()
    with log.open("ab") as output, _sampled() as memory:
        noise, begun = Noise(), time.monotonic()
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            pass_fds=pass_fds,
            start_new_session=True,
        )
        try:
            reaped = _reap_all(process, begun + timeout)
        finally:
            _end_children()
        wall, others = time.monotonic() - begun, noise.share()
    name = Path(argv[0]).name
    if reaped is None:
        raise BenchError(f"{name} took longer than {timeout:.0f} s\n{tail(log)}")
    if process.returncode not in done:
        raise BenchError(f"{name} failed (exit {process.returncode})\n{tail(log)}")
    return Cost(wall, reaped.cpu, reaped.largest, memory.most, others)


def tail(log: Path) -> str:
    """The end of a log."""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        return file.read().decode("utf-8", "replace")


@dataclass
class _Reaped:
    cpu: float = 0.0
    largest: int = 0


def _reap_all(process: subprocess.Popen[bytes], deadline: float) -> _Reaped | None:
    """Waits for the process and every orphan that came to us; None when the deadline came first."""
    total = _Reaped()
    pidfd = os.pidfd_open(process.pid)
    try:
        if not select.select([pidfd], [], [], max(0.0, deadline - time.monotonic()))[0]:
            return None
    finally:
        os.close(pidfd)
    while True:
        try:
            pid, status, usage = os.wait4(-1, 0 if process.returncode is None else os.WNOHANG)
        except ChildProcessError:
            return total
        if pid == 0:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.005)
            continue
        if pid == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)
        total.cpu += usage.ru_utime + usage.ru_stime
        total.largest = max(total.largest, usage.ru_maxrss * 1024)


def _end_children() -> None:
    """Ends what is left of a run that failed; as a killed process's children come to us, until there are none."""
    deadline = time.monotonic() + _LAST_SECONDS
    while time.monotonic() < deadline:
        for child in _children(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return
        time.sleep(0.02)


def _children(pid: int) -> list[int]:
    """None for a process that is gone."""
    tasks = Path(f"/proc/{pid}/task")
    found: list[int] = []
    with suppress(OSError, ValueError):
        for task in tasks.iterdir():
            found += [int(word) for word in (task / "children").read_text().split()]
    return found


@dataclass
class _Most:
    most: int = 0


@contextmanager
def _sampled() -> Iterator[_Most]:
    """Looks at the memory of all our descendants while the block runs."""
    seen = _Most()
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(_SAMPLE_SECONDS):
            seen.most = max(seen.most, sum(_memory_of(pid) for pid in _descendants(os.getpid())))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


def _memory_of(pid: int) -> int:
    """RssAnon and RssShmem (proc_pid_status(5)): file pages are the page cache's, shared by all."""
    kilobytes = 0
    with suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "RssShmem:")):
                kilobytes += int(line.split()[1])
    return kilobytes * 1024


def _become_subreaper() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
