# SPDX-License-Identifier: Apache-2.0
"""The index and the lock that reading is measured on are what they are said to be, and have their limits."""

from __future__ import annotations

from pathlib import Path

import indexes as bench
import pytest
from measure import BenchError


def test_all_that_was_made_is_read(tmp_path: Path) -> None:
    index, lock = bench.make_index(tmp_path, 300), bench.make_lock(tmp_path, 8)
    bench.read_index(index, 300)
    bench.read_lock(lock, 8)
    with pytest.raises(BenchError, match="300 of 299 packages"):
        bench.read_index(index, 299)
    with pytest.raises(BenchError, match="8 of 9 packages"):
        bench.read_lock(lock, 9)


@pytest.mark.parametrize(("index", "lock", "held"), [(0.9, 0.04, [True, True]), (1.0, 0.05, [False, False])])
def test_the_limits(index: float, lock: float, held: list[bool]) -> None:
    assert [one.held for one in bench.index_figures(bench.Begun([index], [lock], [0.0]))] == held
