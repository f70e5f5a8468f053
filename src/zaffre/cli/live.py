# SPDX-License-Identifier: Apache-2.0
"""Progress drawn on a terminal: what runs at its foot, what ended as lines above."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from zaffre.cli.progress import ended_line


def live_progress() -> LiveProgress:
    return LiveProgress(Console(stderr=True, highlight=False))


class _Measured(ProgressColumn):
    """A column that is drawn only for work whose amount is known."""

    def __init__(self, column: ProgressColumn) -> None:
        super().__init__()
        self._column = column

    def render(self, task: Task) -> RenderableType:
        return self._column(task) if task.total is not None else Text("")


class LiveProgress:
    """A `zaffre.progress.Progress` for terminals.

    Nothing is drawn while nothing runs, so that between steps the terminal belongs to whoever wants it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._running = 0
        self._display = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            _Measured(BarColumn(bar_width=30)),
            _Measured(DownloadColumn()),
            _Measured(TransferSpeedColumn()),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )

    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:
        remarks = [""]
        with self._task(title, None, lambda: remarks[0]) as task:

            def tell(remark: str) -> None:
                remarks[0] = remark
                self._display.update(task, description=f"{title}  {remark}")

            yield tell

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Callable[[int], None]]:
        with self._task(title, total, lambda: f"{total / 1e6:.1f} MB") as task:
            yield lambda amount: self._display.advance(task, amount)

    def note(self, message: str) -> None:
        self._console.print(Text(message))

    @contextmanager
    def _task(self, title: str, total: int | None, remark: Callable[[], str]) -> Iterator[TaskID]:
        task = self._begin(title, total)
        begin = time.monotonic()
        ok = False
        try:
            yield task
            ok = True
        finally:
            self._end(task)
            mark = ("* ", "green") if ok else ("x ", "red")
            line = ended_line(title, remark() if ok else "failed", time.monotonic() - begin)
            self._console.print(Text.assemble(mark, line))

    def _begin(self, title: str, total: int | None) -> TaskID:
        with self._lock:
            if self._running == 0:
                self._display.start()
            self._running += 1
        return self._display.add_task(title, total=total)

    def _end(self, task: TaskID) -> None:
        self._display.remove_task(task)
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._display.stop()
