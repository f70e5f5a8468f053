# SPDX-License-Identifier: Apache-2.0
"""What patching is measured on is a definition, and a patch that released nothing is no figure."""

from __future__ import annotations

import json
from pathlib import Path

import patches as bench
import pytest
from measure import BenchError, Cost

from zaffre.definition import load_distribution


def test_one_host_and_its_probes_without_pockets(tmp_path: Path) -> None:
    target = tmp_path / "definition"
    bench.make_definition(target)
    upstream = target / "upstreams/debian.toml"
    upstream.write_text(bench.without_pockets(upstream.read_text()))
    found = load_distribution(target)
    assert set(found.images) == {bench.IMAGE, bench.PROBES}
    assert found.repository is None
    assert [one.suite for one in found.upstream().suites] == ["trixie"]
    assert not (target / "zaffre.lock").exists()


@pytest.mark.parametrize(
    ("stages", "broken"), [(["scan"], None), (["scan", "lock", "build", "check"], "the check does not hold")]
)
def test_nothing_published_is_no_figure(stages: list[str], broken: str | None) -> None:
    report = {"stages": [{"stage": one, "seconds": 1.0} for one in stages], "broken": broken}
    with pytest.raises(BenchError, match=broken or "nothing is behind"):
        bench.stages_of(json.dumps(report))


@pytest.mark.parametrize(("wall", "held"), [(480.0, True), (481.0, False)])
def test_eight_minutes_are_the_limit(wall: float, held: bool) -> None:  # noqa: FBT001
    stages = bench.stages_of(json.dumps({"stages": [{"stage": "publish", "seconds": 2.0}], "broken": None}))
    figures = bench.patch_figures(bench.Patched(Cost(wall, 200.0, 1, 1, 0.0), stages))
    assert [(one.held, one.ours) for one in figures] == [(held, (wall,)), (None, (200.0,)), (None, (2.0,))]
