# SPDX-License-Identifier: Apache-2.0
"""Running bubblewrap to its end: time limit, bounded output, the whole sandbox gone before anyone goes on.

bubblewrap's outer process ends without waiting for the sandbox's pid 1. So that the CPU time of what ran
is not lost, and no process of the sandbox outlives the call, we are the sub-reaper (prctl(2)) that inherits
pid 1, which is in bubblewrap's process group, and wait for it: with it, all of its namespace is gone.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_TAIL = 64 << 10
_MOST_OUTPUT = 64 << 20
_LAST_WORDS = 0.5

Stream = int | IO[bytes] | None


class SandboxProcess(subprocess.Popen[bytes]):
    """A running sandbox. After `wait` returns, no process of it is left, and `cpu_seconds` is known.

    It ends (SIGKILL) when the thread that started it ends: start it from one that lives long enough.
    Signals sent to it end bubblewrap and by that everything inside, without a chance to clean up; so does
    the end of a `with` block.
    """

    cpu_seconds: float = 0.0

    def __init__(
        self,
        words: Sequence[str],
        *,
        stdin: Stream,
        stdout: Stream,
        stderr: Stream,
        pass_fds: Sequence[int] = (),
        jobs: int | None = None,
    ) -> None:
        _become_subreaper()
        with _few_processors(jobs):
            super().__init__(
                words,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                pass_fds=pass_fds,
                env={"PATH": os.defpath},
                umask=0o022,
                start_new_session=True,
            )

    def kill(self) -> None:
        """Kills bubblewrap and the pid 1 that it is perhaps still making, whose tie to it may not yet be knotted."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout: float | None = None) -> int:
        code = super().wait(timeout)
        with suppress(ChildProcessError):  # no more of the process group is our child
            while True:
                pid, _, usage = os.wait4(-self.pid, os.WNOHANG)
                if not pid:
                    os.killpg(self.pid, signal.SIGKILL)
                    _, _, usage = os.wait4(-self.pid, 0)
                self.cpu_seconds += usage.ru_utime + usage.ru_stime
        return code

    def __exit__(self, *exception: object) -> None:
        self.kill()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self.wait()


@dataclass(frozen=True)
class Ended:
    """`log_tail` is the end of both streams in the order of arrival, of stderr alone when stdout is not text."""

    returncode: int
    stdout: bytes
    stderr_tail: str
    log_tail: str
    wall_seconds: float
    cpu_seconds: float
    timed_out: bool
    too_much_output: bool
    fatal: bool


def run_to_end(
    words: Sequence[str],
    *,
    stdin: Stream,
    stdout: IO[bytes] | None,
    timeout: float,
    jobs: int | None,
    fatal: tuple[str, ...] = (),
) -> Ended:
    """Runs until the program ends, its time is over, it printed too much (64 MiB, when `stdout` is None), or said a
    `fatal` word.

    Any exception, KeyboardInterrupt included, leaves no process behind. Raises OSError when bubblewrap can't be run.
    """
    begun = time.monotonic()
    reader = _Reader(tuple(word.encode() for word in fatal))
    timed_out = False
    with SandboxProcess(
        words, stdin=stdin, stdout=subprocess.PIPE if stdout is None else stdout, stderr=subprocess.PIPE, jobs=jobs
    ) as process:
        ended = os.pidfd_open(process.pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(ended, selectors.EVENT_READ)
                for pipe, take in ((process.stdout, reader.take_stdout), (process.stderr, reader.take_stderr)):
                    if pipe is not None:
                        selector.register(pipe, selectors.EVENT_READ, take)
                in_time = _follow(selector, ended, reader, begun + timeout)
            timed_out = not in_time and not reader.fatal
            if not in_time or reader.too_much:
                process.kill()
            process.wait()
            for pipe, take in ((process.stdout, reader.take_stdout), (process.stderr, reader.take_stderr)):
                while pipe is not None and take(os.read(pipe.fileno(), _TAIL)):
                    pass  # what was in the pipe when the last writer ended
        finally:
            os.close(ended)
    return Ended(
        returncode=process.returncode,
        stdout=bytes(reader.stdout),
        stderr_tail=_text(reader.stderr),
        log_tail=_text(reader.stderr if b"\0" in reader.log else reader.log),
        wall_seconds=time.monotonic() - begun,
        cpu_seconds=process.cpu_seconds,
        timed_out=timed_out,
        too_much_output=reader.too_much,
        fatal=reader.fatal,
    )


class _Reader:
    """Takes what arrives; both methods say whether there was anything (b"" is the end of a stream)."""

    def __init__(self, fatal: tuple[bytes, ...]) -> None:
        self.stdout = bytearray()
        self.stderr = bytearray()
        self.log = bytearray()
        self.too_much = False
        self.fatal = False
        self._fatal = fatal

    def take_stdout(self, data: bytes) -> bool:
        room = _MOST_OUTPUT - len(self.stdout)
        self.too_much = self.too_much or len(data) > room
        self.stdout += data[:room]
        _append(self.log, data)
        return bool(data)

    def take_stderr(self, data: bytes) -> bool:
        _append(self.stderr, data)
        _append(self.log, data)
        if any(word in self.stderr[-len(data) - len(word) :] for word in self._fatal):
            self.fatal = True
        return bool(data)


def _append(tail: bytearray, data: bytes) -> None:
    tail += data
    if len(tail) > 2 * _TAIL:
        del tail[:-_TAIL]


def _follow(selector: selectors.BaseSelector, ended: int, reader: _Reader, deadline: float) -> bool:
    """Reads until the process has ended or printed too much; false when the deadline came first.

    A fatal error brings the deadline forward, to just after what else it may have to say.
    """
    begun_to_fail = False
    while not reader.too_much:
        if reader.fatal and not begun_to_fail:
            begun_to_fail = True
            deadline = min(deadline, time.monotonic() + _LAST_WORDS)
        events = selector.select(max(0.0, deadline - time.monotonic()))
        for key, _ in events:
            if key.fileobj == ended:
                continue
            if not key.data(os.read(key.fd, _TAIL)):
                selector.unregister(key.fileobj)
        if any(key.fileobj == ended for key, _ in events):
            return True
        if not events and time.monotonic() >= deadline:
            return False
    return True


def _text(data: bytes | bytearray) -> str:
    return data[-_TAIL:].decode(errors="replace")


def _become_subreaper() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextmanager
def _few_processors(jobs: int | None) -> Iterator[None]:
    """The calling thread, and so what it starts, may use `jobs` processors only: `nproc` inside says so."""
    if jobs is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:jobs])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
