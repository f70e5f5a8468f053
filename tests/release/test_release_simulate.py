# SPDX-License-Identifier: Apache-2.0
"""Rollouts over fleets that do not exist: what must hold of every one, and what is known of simple ones."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zaffre.cli import main
from zaffre.release import Bad, Fleet, Rollout, Schedule, picture, simulate
from zaffre.release.simulate import DAY, HOUR

DOCS = Path(__file__).parents[2] / "docs"
WEEK = Schedule((0.0, 0.1, 1.0), (0.0, DAY, 7 * DAY))
ROLLOUT = Rollout(WEEK, unhealthy=0.05, reports=20)
PLAIN = Fleet(nodes=2000, poll=60.0, window=None, zones=False, away=0.0)


def test_nodes_that_are_always_on_follow_the_schedule() -> None:
    found = simulate(PLAIN, ROLLOUT, days=8)
    assert found.good == found.reached == 2000
    assert found.failed == 0
    assert max(abs(point.first - point.planned) for point in found.curve) < 0.05 * 2000
    assert found.times.all is not None
    assert 6.5 < found.times.all < 7.1


def test_a_window_and_a_zone_keep_a_node_waiting_a_day_at_most() -> None:
    free = simulate(PLAIN, ROLLOUT, days=9)
    night = simulate(Fleet(nodes=2000, poll=60.0, window=(22, 2), away=0.0), ROLLOUT, days=9)
    assert night.good == 2000
    for before, after in zip(free.curve, night.curve, strict=True):
        assert after.good <= before.good
    assert free.times.half is not None
    assert night.times.half is not None
    assert free.times.half < night.times.half < free.times.half + 1


def test_a_node_that_is_off_has_its_turn_when_it_is_back() -> None:
    found = simulate(Fleet(nodes=2000, window=None, away=1.0, away_seconds=5 * DAY, span=7 * DAY), ROLLOUT, days=60)
    plain = simulate(PLAIN, ROLLOUT, days=60)
    assert found.good == 2000
    assert found.times.ninety_nine is not None
    assert plain.times.ninety_nine is not None
    assert found.times.ninety_nine > plain.times.ninety_nine + 3


def test_reports_stop_a_bad_release_early_and_the_good_one_reaches_all() -> None:
    found = simulate(PLAIN, ROLLOUT, days=20, bad=Bad(share=1.0, fix=DAY, schedule=WEEK))
    assert found.stopped_by == "reports"
    assert found.stopped_day is not None
    # Twenty reports, and those that began while they were under way.
    assert 20 <= found.reached < 60
    assert found.failed == found.reached
    assert found.good_day == pytest.approx(found.stopped_day + 1)
    assert found.good == 2000


def test_what_few_nodes_cannot_take_is_stopped_by_a_person_or_not_at_all() -> None:
    rare = Bad(share=0.01, fix=HOUR, schedule=WEEK)
    never = simulate(PLAIN, ROLLOUT, days=10, bad=rare)
    assert never.stopped_by is None
    assert never.reached == 2000
    assert never.good == 2000 - never.failed
    assert 0 < never.failed < 60
    person = simulate(PLAIN, ROLLOUT, days=10, bad=Bad(0.01, HOUR, WEEK, found=2 * DAY))
    assert (person.stopped_by, person.stopped_day) == ("a person", 2.0)
    assert person.reached < 0.3 * 2000


@settings(max_examples=25)
@given(
    nodes=st.integers(1, 120),
    bad=st.one_of(st.none(), st.floats(0, 1)),
    window=st.sampled_from([None, (2, 5), (22, 4), (0, 24)]),
    away=st.floats(0, 1),
    days=st.integers(1, 40),
)
def test_every_node_is_counted_once(
    nodes: int, bad: float | None, window: tuple[int, int] | None, away: float, days: int
) -> None:
    fleet = Fleet(nodes=nodes, window=window, away=away, seed=str(days))
    trouble = None if bad is None else Bad(bad, HOUR, WEEK)
    found = simulate(fleet, ROLLOUT, days=days, bad=trouble)
    assert 0 <= found.failed <= found.reached <= nodes
    assert 0 <= found.good <= nodes
    last = (0, 0)
    for point in found.curve:
        assert point.first >= last[0]
        assert point.good >= last[1]
        last = (point.first, point.good)
    assert last <= (found.reached, found.good)
    assert found == simulate(fleet, ROLLOUT, days=days, bad=trouble), "a run can be repeated"


def test_the_picture_is_svg_and_shows_the_stop() -> None:
    found = simulate(PLAIN, ROLLOUT, days=20, bad=Bad(share=1.0, fix=DAY, schedule=WEEK))
    root = ET.fromstring(picture(found, "a < b & c"))
    name = "{http://www.w3.org/2000/svg}"
    assert root.tag == f"{name}svg"
    words = {text.text for text in root.iter(f"{name}text")}
    assert {"a < b & c", "stopped", "the bad release", "the good release", "100 %"} <= words
    lines = [line.attrib["points"].split() for line in root.iter(f"{name}polyline")]
    assert [len(line) for line in lines] == [len(found.curve)] * 3


def distribution(place: Path, *, waves: str = "") -> Path:
    assert main(["init", str(place)]) == 0
    with (place / "zaffre.toml").open("a") as file:
        file.write(waves)
    return place


def test_the_command_says_draws_and_repeats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = distribution(tmp_path / "own")
    capsys.readouterr()
    drawn = tmp_path / "rollout.svg"
    words = ["--distro", str(root), "release", "simulate", "--nodes", "3000", "--bad", "50"]
    assert main([*words, "--picture", str(drawn)]) == 0
    shown = capsys.readouterr().out
    assert "stopped by reports after" in shown
    assert "of them fell back" in shown
    ET.fromstring(drawn.read_text())
    assert main([*words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["stopped_by"] == "reports"
    assert found["nodes"] == 3000


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--waves", "standart"], "did you mean 'standard'?"),
        (["--poll", "often"], "--poll"),
        (["--window", "5"], "is no part of a day"),
        (["--window", "3-30"], "is no part of a day"),
        (["--found", "1h"], "only a bad release is stopped"),
        (["--bad", "5", "--picture", "/nowhere/at/all.svg"], "there is no such folder"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    root = distribution(tmp_path / "own")
    assert main(["--distro", str(root), "release", "simulate", "--nodes", "10", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_schedule_with_a_hole_stops_the_definition(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = distribution(tmp_path / "own", waves='\n[release.waves.x]\nsteps = [{ share = 10, until = "1d" }]\n')
    assert main(["--distro", str(root), "release", "simulate"]) == 2
    shown = capsys.readouterr().err
    assert "zaffre.toml" in shown
    assert "release.waves.x" in shown
    assert "must reach 100 percent" in shown


def test_the_how_to_shows_what_the_command_says_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (DOCS / "how-to/waves.md").read_text()
    words, shown = page.split("$ zaffre ", 1)[1].split("```", 1)[0].split("\n", 1)
    root = distribution(tmp_path / "own")
    capsys.readouterr()
    drawn = tmp_path / "rollout.svg"
    assert main(["--distro", str(root), *(str(drawn) if word == drawn.name else word for word in words.split())]) == 0
    assert capsys.readouterr().out.replace(str(drawn), drawn.name) == shown
    assert drawn.read_text() == (DOCS / "pictures/rollout.svg").read_text()
