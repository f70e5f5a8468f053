# SPDX-License-Identifier: Apache-2.0
"""The program as its user runs it: its words, its exit code, and the processes that it started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Self

import pytest

_LONGEST = 300.0
_COMM = 15  # proc_pid_comm(5): a process's name is cut to that
UNFORESEEN = ("Traceback (most recent call last)", "this is a bug in Zaffre", "Exception ignored", "Fatal Python error")


@dataclass(frozen=True)
class Done:
    """How a run ended. No run may end in something that its author did not foresee."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        for sign in UNFORESEEN:
            assert sign not in self.out + self.err, f"{self.out}\n{self.err}"

    @property
    def said(self) -> str:
        """What a user reads of the failure, progress left out; `pytest -s` shows it."""
        _, error, words = self.err.partition("error: ")
        return error + words

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Place:
    """A distribution with its keys, a store and a directory for builds: what the program is run on.

    `through` is a command before the program's own: one that enters a namespace, say.
    """

    distro: Path
    keys: Path
    store: Path
    out: Path
    python: Sequence[str] = (sys.executable, "-m", "zaffre")
    through: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    def words(self, *words: str) -> list[str]:
        shared = ("--distro", str(self.distro), "--keys", str(self.keys), "--store", str(self.store))
        return [*self.through, *self.python, *shared, *words]

    def start(self, *words: str) -> Running:
        return Running(self.words(*words), self.environment, self.distro.parent)

    def run(self, *words: str, code: int = 0) -> Done:
        """Run to the end, which must be this exit code."""
        with self.start(*words) as running:
            done = running.end()
        assert done.code == code, f"zaffre {' '.join(words)} ended with {done.code}:\n{done.out}\n{done.err}"
        if code:
            sys.stdout.write(f"\n$ zaffre {' '.join(words)}\n{done.said}(exit {done.code})\n")
        return done

    def build(self, image: str, *options: str) -> Path:
        """A build's folder."""
        return Path(self.run("build", image, "--out", str(self.out), "--json", *options).json["directory"])

    def start_build(self, image: str, *options: str) -> Running:
        return self.start("build", image, "--out", str(self.out), "--json", *options)

    def at(self, **changes: Any) -> Place:
        return replace(self, **changes)


class Running:
    """A started program, a process group of its own as in a terminal."""

    def __init__(self, words: Sequence[str], environment: dict[str, str], folder: Path) -> None:
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._seen: set[Process] = set()
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=self._out,
            stderr=self._err,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._out.close()
        self._err.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def err(self) -> str:
        return _read(self._err)

    @property
    def ended(self) -> bool:
        return self._process.poll() is not None

    @property
    def scratch(self) -> list[Path]:
        """What it has in memory: trees that live for seconds, see `zaffre.tree.memory`."""
        return list(Path(f"/dev/shm/zaffre-{os.geteuid()}").glob(f"{self.pid}-*"))

    def listens(self) -> bool:
        """Whether its own first line has run: requests to end are heard (SigCgt, proc_pid_status(5))."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        caught = next((line.split()[1] for line in text.splitlines() if line.startswith("SigCgt:")), "0")
        return bool(int(caught, 16) >> (signal.SIGTERM - 1) & 1)

    def end(self, *, seconds: float = _LONGEST) -> Done:
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end:\n{self.err}")
        return Done(code, _read(self._out), self.err)

    def until(self, reached: Callable[[Running], bool], *, seconds: float = _LONGEST) -> None:
        """Wait for a moment of the run. It must come before the run's end."""
        deadline = time.monotonic() + seconds
        while not reached(self):
            ended = self._process.poll()
            assert ended is None, f"it ended ({ended}) before that moment:\n{self.err}"
            assert time.monotonic() < deadline, f"the moment did not come:\n{self.err}"
            time.sleep(0.005)

    def runs(self, program: str) -> bool:
        """Whether a program of that name runs below it."""
        return any(process.name == program[:_COMM] for process in self.processes())

    def processes(self) -> list[Process]:
        """All that it has started, directly or not, and that has not ended."""
        found = descendants(self._process.pid)
        self._seen.update(found)
        return found

    def signal(self, number: signal.Signals) -> None:
        """To the process group, as a terminal does with Ctrl-C."""
        self.processes()
        if not self.ended:
            os.killpg(self.pid, number)

    def kill(self) -> None:
        """kill -9 of the program alone."""
        self.processes()
        self._process.kill()
        self._process.wait()

    def left(self, *, seconds: float = 10.0) -> list[Process]:
        """Processes of it that are still there, after they had some time to go."""
        deadline = time.monotonic() + seconds
        while alive := [process for process in self._seen if process.alive]:
            if time.monotonic() > deadline:
                return alive
            time.sleep(0.01)
        return []


@dataclass(frozen=True)
class Process:
    """A process by its number and the moment of its start, so that a number used again is not mistaken for it."""

    pid: int
    started: int
    name: str
    state: str = field(compare=False)

    @property
    def alive(self) -> bool:
        now = _process(self.pid)
        return now is not None and now.started == self.started and now.state not in {"Z", "X"}


def descendants(pid: int) -> list[Process]:
    """All that a process started and that lives, by the lists of children (proc_tid_children(5))."""
    found = []
    with suppress(OSError):  # it has ended meanwhile
        for thread in Path(f"/proc/{pid}/task").iterdir():
            for word in (thread / "children").read_text().split():
                process = _process(int(word))
                if process is not None:
                    found += [process, *descendants(process.pid)]
    return found


def _process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = text.partition("(")[2].rpartition(")")
    fields = rest.split()
    return Process(pid, int(fields[19]), name, fields[0])


def _read(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode(errors="replace")


def promised(folder: Path) -> dict[str, Any]:
    """A build's manifest without what tells of the run that made it: equal for equal builds."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    del manifest["build"]
    return manifest


def leftovers(place: Place) -> Iterator[Path]:
    """What should not be there while nothing runs: scratch files, half builds under any name."""
    mine = f"{os.getpid()}-"  # the tests look into stores too
    yield from (path for path in (place.store / "tmp").glob("*") if not path.name.startswith(mine))
    if place.out.exists():
        yield from (path for path in place.out.iterdir() if path.name.startswith("."))
