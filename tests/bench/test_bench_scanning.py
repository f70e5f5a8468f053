# SPDX-License-Identifier: Apache-2.0
"""The root that scanning is measured on has the packages that it says."""

from __future__ import annotations

from pathlib import Path

import pytest
import scanning as bench
from measure import BenchError, Cost

from zaffre.advisory.subjects import Reader
from zaffre.definition import load_distribution, reference_root


def test_the_root_has_so_many_packages(tmp_path: Path) -> None:
    root = bench.make_root(tmp_path / "root", bench.locked_packages(reference_root(), bench.PACKAGES))
    (one,) = Reader(load_distribution(reference_root())).read(str(root))
    assert (len(one.packages), one.platform.upstream) == (bench.PACKAGES, "debian")


def test_a_lock_with_too_few_packages_is_an_error() -> None:
    with pytest.raises(BenchError, match="not 100000"):
        bench.locked_packages(reference_root(), 100_000)


def test_the_figures_hold_their_limits() -> None:
    cost = Cost(0.9, 30.0, 1, 1, 0.0)
    figures = bench.scan_figures(bench.Scans(cost, (cost, cost, cost)))
    assert [one.held for one in figures] == [True, None, True, None]
