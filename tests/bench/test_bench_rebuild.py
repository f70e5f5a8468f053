# SPDX-License-Identifier: Apache-2.0
"""A rebuild is judged beside sbuild's; what was measured alone has its place in the table."""

from __future__ import annotations

import pytest
import run
from drift import drift_figures
from measure import Cost
from rebuild import Rebuilds, rebuild_figures


def cost(wall: float, *, cpu: float = 1.0, memory: int = 1) -> Cost:
    return Cost(wall=wall, cpu=cpu, process_bytes=memory, tree_bytes=1, others=0.0)


@pytest.mark.parametrize(("wall", "held"), [(10.9, True), (11.1, False)])
def test_a_rebuild_may_take_a_tenth_more_than_sbuild(wall: float, *, held: bool) -> None:
    told, only = rebuild_figures(Rebuilds(ours=[cost(wall)], sbuild=[cost(10.0, cpu=2.0)]))
    assert (told.peer, told.held) == ("sbuild", held)
    assert (only.ratio, only.held) == (0.5, None)


@pytest.mark.parametrize(
    ("wall", "memory", "held"),
    [(2.9, 499_000_000, [True, True]), (3.0, 1, [False, True]), (1.0, 500_000_000, [True, False])],
)
def test_drift_of_many_components_has_limits_of_its_own(wall: float, memory: int, held: list[bool]) -> None:
    assert [one.held for one in drift_figures([cost(wall, memory=memory)]) if one.limit] == held


def test_the_table_has_one_order_whatever_was_measured_first() -> None:
    found = run._Found()
    found.add("drift", drift_figures([cost(1.0)]), [0.2])
    found.add("builds", [], [0.1])
    found.add("rebuild", rebuild_figures(Rebuilds([cost(1.0)], [cost(1.0)])), [])
    titles = [one.title for one in found.figures]
    assert titles == sorted(titles, key=lambda title: title.startswith("lz4"))
    assert max(found.others) == 0.2


def test_what_can_be_measured_alone(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["run.py", "--only", "drift", "--only", "rebuild"])
    assert run._options().only == ["drift", "rebuild"]
    monkeypatch.setattr("sys.argv", ["run.py", "--only", "lunch"])
    with pytest.raises(SystemExit):
        run._options()
    assert "metadata" in capsys.readouterr().err
