# SPDX-License-Identifier: Apache-2.0
"""A store of one's own for each test, and other processes that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.trouble import OtherProcess, small_disk, unmet
from zaffre.store import Store

__all__ = ["small_disk", "unmet"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def other(store: Store) -> Iterator[Callable[[str], OtherProcess]]:
    """Starts a Python program that has `store`."""
    started: list[OtherProcess] = []

    def start(program: str) -> OtherProcess:
        started.append(OtherProcess(program, store.root))
        return started[-1]

    yield start
    for process in started:
        process.close()
