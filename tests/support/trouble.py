# SPDX-License-Identifier: Apache-2.0
"""Real means to make trouble, for the tests of several packages: a small file system, patience, other processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest


@pytest.fixture
def unmet() -> Callable[[str], NoReturn]:
    """Tells that a need is not met: skips on a laptop, fails in CI."""

    def tell(reason: str) -> NoReturn:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)

    return tell


@pytest.fixture
def small_disk(tmp_path: Path, unmet: Callable[[str], NoReturn]) -> Iterator[Path]:
    """A real file system of 8 MiB."""
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "none", path], check=False, capture_output=True, text=True
    )
    if mounted.returncode:
        unmet(f"cannot mount a small file system: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", "--lazy", path], check=True)


class Disk:
    """A real file system in memory, whose size can be changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def mount(self, options: str) -> str:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", self.path], check=False, capture_output=True, text=True
        )
        return done.stderr.strip()

    @property
    def used(self) -> int:
        """Bytes."""
        return shutil.disk_usage(self.path).used

    def leave(self, free: int) -> None:
        """Make it as large as what is on it, and so many bytes more."""
        assert not self.mount(f"remount,size={self.used + free}")


@pytest.fixture
def disk(tmp_path: Path, unmet: Callable[[str], NoReturn]) -> Iterator[Disk]:
    made = Disk(tmp_path / "disk")
    if error := made.mount("size=2g,mode=0755"):
        unmet(f"cannot mount a small file system: {error}")
    yield made
    subprocess.run(["umount", "--lazy", made.path], check=True)


class OtherProcess:
    """Another process that runs a Python program, told `ROOT`, the store's directory."""

    def __init__(self, program: str, root: Path) -> None:
        prologue = """
import os, sys, time
from pathlib import Path
from zaffre.store import *
store = Store(Path(sys.argv[1]))
"""
        self._process = subprocess.Popen(
            [sys.executable, "-c", prologue + program, root], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )

    def line(self) -> str:
        """The next line it prints; waits for it."""
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def interrupt(self) -> None:
        self._process.send_signal(signal.SIGINT)

    def wait(self) -> tuple[int, str]:
        output, _ = self._process.communicate(timeout=60)
        return self._process.returncode, output

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()


def eventually(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.01)
