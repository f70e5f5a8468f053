# SPDX-License-Identifier: Apache-2.0
"""The listeners: what they write, and that they leave the terminal alone when nothing runs."""

from __future__ import annotations

import io
import re
import threading
import time

import pytest
from rich.console import Console

from zaffre.cli.live import LiveProgress
from zaffre.cli.progress import PlainProgress, make_progress
from zaffre.progress import SILENT, Progress


def live() -> tuple[LiveProgress, io.StringIO]:
    file = io.StringIO()
    return LiveProgress(Console(file=file, force_terminal=True, width=100, color_system=None)), file


def timeless(text: str) -> str:
    return re.sub(r"\d+\.\d s", "T s", text)


def test_plain_lines_tell_what_ended_and_how() -> None:
    file = io.StringIO()
    progress: Progress = PlainProgress(file)
    with progress.step("unpack") as remark:
        remark("cached")
    with progress.step("seal"):
        pass
    with progress.transfer("fetch", 3_000_000) as advance:
        advance(1_000_000)
        advance(2_000_000)
    progress.note("look here")
    assert timeless(file.getvalue()).splitlines() == [
        "- unpack  cached, T s",
        "- seal  T s",
        "- fetch  3.0 MB, T s",
        "look here",
    ]


def test_plain_lines_show_that_long_work_goes_on() -> None:
    file = io.StringIO()
    progress = PlainProgress(file, heartbeat=0.05)
    with progress.transfer("fetch", 2_000_000) as advance:
        advance(1_000_000)
        time.sleep(0.2)
    assert "fetch ... 1.0 of 2.0 MB" in file.getvalue()
    with progress.step("build") as remark:
        remark("1 of 2")
        time.sleep(0.2)
    assert "build ... 1 of 2, 0 s" in file.getvalue()


@pytest.mark.parametrize("kind", ["plain", "live"])
def test_work_that_fails_says_so_and_the_error_goes_on(kind: str) -> None:
    file = io.StringIO()
    progress: Progress = PlainProgress(file)
    if kind == "live":
        progress, file = live()
    with pytest.raises(ValueError, match="odd"), progress.step("seal"):
        raise ValueError("odd")
    assert "seal  failed" in file.getvalue()


def test_live_draws_steps_from_many_threads_and_ends_clean() -> None:
    progress, file = live()

    def work(number: int) -> None:
        with progress.step(f"step {number}") as remark:
            remark("cached")

    with progress.transfer("fetch", 10) as advance:
        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        advance(10)
    shown = file.getvalue()
    for number in range(8):
        assert f"step {number}  cached" in shown
    before = len(file.getvalue())
    time.sleep(0.3)
    assert len(file.getvalue()) == before
    progress.note("[not markup]")
    assert "[not markup]" in file.getvalue()


def test_live_draws_how_far_a_step_is() -> None:
    progress, file = live()
    with progress.step("build") as remark:
        remark("1 of 2")
        time.sleep(0.3)
        assert "build  1 of 2" in file.getvalue()


def test_quiet_is_silent() -> None:
    assert make_progress(quiet=True) is SILENT
    assert isinstance(make_progress(quiet=False), PlainProgress)
