# SPDX-License-Identifier: Apache-2.0
"""The listener of `zaffre.progress.Progress` that fits: a live display, plain lines for logs, or nothing."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from zaffre.progress import SILENT, Progress

_HEARTBEAT = 10.0


def make_progress(*, quiet: bool) -> Progress:
    """What fits standard error: a live display, plain lines, or nothing."""
    if quiet:
        return SILENT
    if sys.stderr.isatty():
        from zaffre.cli.live import live_progress

        return live_progress()
    return PlainProgress(sys.stderr)


def ended_line(title: str, remark: str, seconds: float) -> str:
    return f"{title}  {remark + ', ' if remark else ''}{seconds:.1f} s"


class PlainProgress:
    """One line at the end of each step, and one every ten seconds for what is still running."""

    def __init__(self, file: TextIO, *, heartbeat: float = _HEARTBEAT) -> None:
        self._file = file
        self._heartbeat = heartbeat
        self._lock = threading.Lock()

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        remarks = [""]
        with self._running(title, lambda: f"{remarks[0]}, " if remarks[0] else ""):
            begin = time.monotonic()
            try:
                yield lambda remark: remarks.__setitem__(0, remark)
            except BaseException:
                self._print(f"- {ended_line(title, 'failed', time.monotonic() - begin)}")
                raise
            self._print(f"- {ended_line(title, remarks[0], time.monotonic() - begin)}")

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        done = [0]
        with self._running(title, lambda: f"{done[0] / 1e6:.1f} of {total / 1e6:.1f} MB, "):
            begin = time.monotonic()

            def advance(amount: int) -> None:
                with self._lock:
                    done[0] += amount

            try:
                yield advance
            except BaseException:
                self._print(f"- {ended_line(title, 'failed', time.monotonic() - begin)}")
                raise
            self._print(f"- {ended_line(title, f'{done[0] / 1e6:.1f} MB', time.monotonic() - begin)}")

    def note(self, message: str) -> None:
        self._print(message)

    @contextmanager
    def _running(self, title: str, state: Callable[[], str]) -> Iterator[None]:
        ended = threading.Event()

        def beat() -> None:
            begin = time.monotonic()
            while not ended.wait(self._heartbeat):
                self._print(f"  {title} ... {state()}{time.monotonic() - begin:.0f} s")

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _print(self, line: str) -> None:
        with self._lock:
            print(line, file=self._file, flush=True)
