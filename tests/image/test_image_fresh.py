# SPDX-License-Identifier: Apache-2.0
"""The directory of a build: whole or not there, whoever else builds, whatever ended the builder."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from zaffre.image import fresh
from zaffre.image.fresh import fresh_directory, remove_leftovers

HOLDING = """
import sys
from pathlib import Path
from zaffre.image.fresh import fresh_directory
with fresh_directory(Path(sys.argv[1])) as partial:
    (partial / "half").touch()
    print("filling", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that fills `tmp_path/build` until it is told to end."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDING, tmp_path / "build"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "filling\n"
        yield process
        process.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(params=["exchanged", "two renames"])
def _manner(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "two renames":  # a file system that can't exchange names
        monkeypatch.setattr(fresh, "_exchange", lambda one, other: not other.stat() or False)


@pytest.mark.usefixtures("_manner")
def test_it_appears_whole_and_replaces_what_was_there(tmp_path: Path) -> None:
    final = tmp_path / "out" / "build"
    for content in ("old", "new"):
        with fresh_directory(final) as partial:
            (partial / content).touch()
        assert names(final) == [content]
        assert names(final.parent) == ["build"]


@pytest.mark.usefixtures("_manner")
def test_of_two_that_end_at_once_one_stays_whole(tmp_path: Path) -> None:
    final = tmp_path / "build"
    with fresh_directory(final) as slow:
        (slow / "slow").touch()
        with fresh_directory(final) as quick:
            (quick / "quick").touch()
        assert names(final) == ["quick"]
    assert names(final) == ["slow"]
    assert names(tmp_path) == ["build"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    final = tmp_path / "build"
    with fresh_directory(final) as partial:
        (partial / "old").touch()

    def interrupted() -> None:
        with fresh_directory(final) as half:
            (half / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(final) == ["old"]
    assert names(tmp_path) == ["build"]


def test_what_a_living_process_fills_stays_and_what_a_dead_one_left_goes(
    tmp_path: Path, other: subprocess.Popen[str]
) -> None:
    remove_leftovers(tmp_path)
    assert len(names(tmp_path)) == 1
    other.kill()
    other.wait()
    assert len(names(tmp_path)) == 1
    remove_leftovers(tmp_path)
    assert names(tmp_path) == []
