# SPDX-License-Identifier: Apache-2.0
"""A node's turn: uniform over the fleet, by its name and the release's alone, and it only ever comes nearer."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from zaffre.definition import Waves
from zaffre.release import Schedule, position
from zaffre.release.simulate import counted, quantile

NODES = 20_000
STANDARD = Schedule((0.0, 0.01, 0.1, 0.5, 1.0), (0.0, 6 * 3600.0, 86400.0, 3 * 86400.0, 7 * 86400.0))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    steps = draw(st.integers(1, 6))
    shares = sorted(draw(st.sets(st.integers(1, 999), min_size=steps - 1, max_size=steps - 1)))
    times = sorted(draw(st.sets(st.integers(1, 10**6), min_size=steps, max_size=steps)))
    return Schedule((0.0, *(share / 1000 for share in shares), 1.0), (0.0, *map(float, times)))


@pytest.mark.parametrize("name", ["node-{}", "{:08x}", "10.0.{}.example"])
def test_nodes_are_spread_evenly_over_every_step_and_within_it(name: str) -> None:
    """Each tenth of each step has a tenth of its nodes: chi-squared, at one in a million."""
    cells: Counter[tuple[int, int]] = Counter()
    for number in range(NODES):
        turn = STANDARD.turn(position(name.format(number), "1.2"))
        step = next(index for index in range(4) if turn < STANDARD.times[index + 1])
        begin, end = STANDARD.times[step : step + 2]
        cells[step, int((turn - begin) / (end - begin) * 10)] += 1
    expected = {
        (step, cell): NODES * (STANDARD.shares[step + 1] - STANDARD.shares[step]) / 10
        for step in range(4)
        for cell in range(10)
    }
    assert set(cells) <= set(expected)
    chi_squared = sum((cells[cell] - count) ** 2 / count for cell, count in expected.items())
    assert chi_squared < 39 + 5 * math.sqrt(2 * 39) + 15


def test_no_node_is_always_among_the_first() -> None:
    first = {node for node in range(1000) if position(str(node), "1") < 0.1}
    again = {node for node in first if position(str(node), "2") < 0.1}
    assert len(again) < 0.3 * len(first)


def test_names_do_not_run_together() -> None:
    assert position("1 1:2", "a") != position("2", "a 1:1")
    assert len({position("b", "ab"), position("bb", "a"), position("", "abb")}) == 3


def test_a_position_is_what_it_was() -> None:
    """A fleet half of whose agents are newer must agree: the formula is part of the record's meaning."""
    assert position("node-1", "1.20261126.1") == pytest.approx(0.32515822318957777, abs=0)


@given(schedules(), st.floats(0, 1, exclude_max=True))
def test_the_share_at_a_nodes_turn_is_its_position(schedule: Schedule, where: float) -> None:
    turn = schedule.turn(where)
    assert 0 <= turn <= schedule.times[-1]
    assert schedule.share(turn) == pytest.approx(where, abs=1e-9)


@given(schedules(), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True))
def test_turns_come_in_the_order_of_positions(schedule: Schedule, one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert schedule.turn(low) <= schedule.turn(high)
    assert schedule.share(-1.0) == 0.0
    assert schedule.share(schedule.times[-1] + 1) == 1.0


def test_quantiles_count_the_nodes_that_never_came() -> None:
    times = [1.0, 2.0, 3.0, 4.0]
    assert quantile(times, 0.5, 4) == 2.0
    assert quantile(times, 1.0, 4) == 4.0
    assert quantile(times, 1.0, 5) is None
    assert [counted(times, time) for time in (0.0, 2.0, 2.5, 9.0)] == [0, 1, 2, 4]


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([(10, "1h"), (10, "2h"), (100, "3h")], "greater share"),
        ([(10, "2h"), (100, "2h")], "end later"),
        ([(10, "1h"), (99, "2h")], "must reach 100 percent, not 99"),
        ([(100, "soon")], "is not a duration"),
        ([(0, "1h"), (100, "2h")], "greater than 0"),
        ([(101, "1h")], "less than or equal to 100"),
        ([], "at least 1"),
    ],
)
def test_a_schedule_that_leaves_somebody_out_is_refused(steps: list[tuple[int, str]], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Waves.model_validate({"steps": [{"share": share, "until": until} for share, until in steps]})
