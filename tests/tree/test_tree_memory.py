# SPDX-License-Identifier: Apache-2.0
"""Scratch in memory is used only where there is room, and where nobody else can look in."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from zaffre.errors import ToolError
from zaffre.store import Store
from zaffre.tree.memory import remove_leftovers, scratch_for


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    (tmp_path / "memory").mkdir()
    return tmp_path / "memory"


def test_it_is_ours_alone_and_goes_away(store: Store, memory: Path) -> None:
    with scratch_for(store, "x", expected=1, memory=memory) as scratch:
        assert memory in scratch.parents
        assert scratch.stat().st_mode & 0o777 == 0o700
        (scratch / "file").write_bytes(b"1")
    assert not scratch.exists()


def test_without_room_the_stores_own_scratch_is_taken(store: Store, memory: Path) -> None:
    with scratch_for(store, "x", expected=1 << 50, memory=memory) as scratch:
        assert store.root in scratch.parents
    with scratch_for(store, "x", expected=1, memory=memory / "missing") as scratch:
        assert store.root in scratch.parents


def test_a_strangers_folder_is_not_used(store: Store, memory: Path) -> None:
    with scratch_for(store, "x", expected=1, memory=memory) as scratch:
        own = next(path for path in scratch.parents if path.parent == memory)
    own.chmod(0o755)
    with scratch_for(store, "x", expected=1, memory=memory) as scratch:
        assert store.root in scratch.parents
    own.rename(memory / "moved")
    own.symlink_to(memory / "moved")
    with scratch_for(store, "x", expected=1, memory=memory) as scratch:
        assert store.root in scratch.parents


def test_it_stays_for_a_failed_tool(store: Store, memory: Path) -> None:
    with (
        pytest.raises(ToolError),
        scratch_for(store, "x", expected=1, memory=memory) as scratch,
    ):
        raise ToolError("failed", command="x", returncode=1)
    assert scratch.exists()


def test_what_the_killed_left_goes_and_what_the_living_use_stays(store: Store, memory: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from zaffre.store import Store; from zaffre.tree.memory import *\n"
        "with scratch_for(Store(Path(sys.argv[1])), 'x', expected=1, memory=Path(sys.argv[2])) as path:\n"
        "    print(path, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, store.root, memory], capture_output=True, text=True, check=False
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    with scratch_for(store, "x", expected=1 << 50, memory=memory):
        remove_leftovers(memory)
        assert not left.exists()
    with scratch_for(store, "x", expected=1, memory=memory) as living:
        remove_leftovers(memory)
        assert living.is_dir()
