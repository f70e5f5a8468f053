# SPDX-License-Identifier: Apache-2.0
"""Extensions that a node follows beside its host, and the agent's own: taken, tried, kept, or taken back."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import timedelta

import pytest

from support.death import Death
from support.nodes import KilledError, Layers, Seat
from support.releases import Yard, extension_of
from zaffre.agent.home import Home
from zaffre.agent.remembered import Remembered, Shelf
from zaffre.agent.standing import Standing, released, standings
from zaffre.errors import ToolError, ZaffreError
from zaffre.offer import Act

FROM_THE_IMAGE = extension_of("the image's")


@pytest.fixture
def seat(yard: Yard) -> Seat:
    """A node that follows the extension `site`, with the agent that its image brought."""
    found = Seat.at(yard, "1.2", extensions=["site"])
    found.layers.put("agent", FROM_THE_IMAGE)
    return found


def remembered(seat: Seat, name: str) -> Remembered:
    return Shelf(seat.home.extensions).read(name)


def standing(seat: Seat, name: str) -> Standing:
    return next(one for one in standings(seat.home, seat.settings, seat.layers) if one.name == name)


def kept(seat: Seat, name: str, kind: str = "sysext") -> bytes | None:
    path = seat.layers.kept(kind) / f"{name}.raw"
    return path.read_bytes() if path.exists() else None


def journal(seat: Seat) -> list[str]:
    return [json.loads(line)["did"] for line in seat.home.journal.read_text().splitlines()]


@pytest.mark.parametrize("kind", ["sysext", "confext"])
def test_it_is_taken_kept_and_followed(seat: Seat, kind: str) -> None:
    seat.yard.publish_extension("site", "1.1", kind=kind)
    assert seat.agent.run().act is Act.STAY
    assert seat.layers.laid[kind]["site"] == extension_of("1.1") == kept(seat, "site", kind)
    assert not list(seat.layers.passing(kind).iterdir())
    seat.yard.publish_extension("site", "1.2", kind=kind)
    seat.agent.run()
    seat.layers.restart()
    assert seat.layers.laid[kind]["site"] == extension_of("1.2")
    one = standing(seat, "site")
    assert (one.version, one.kind, one.merged, one.failed) == ("1.2", kind, True, ())
    assert "1.2" in one.words
    assert (kind, "site") in released(seat.home, seat.layers)
    assert journal(seat).count("laid over") == 2
    assert [path.name for path in (seat.home.extensions / "site").iterdir() if path.is_file()] == ["state.json"]
    seat.layers.put("site", extension_of("9"), kind)
    assert (kind, "site") not in released(seat.home, seat.layers)
    seat.agent.run()
    assert kept(seat, "site", kind) == extension_of("1.2"), "what somebody put in its place goes"


def test_the_host_and_its_extensions_go_on_beside_each_other(seat: Seat) -> None:
    seat.slots.running = "1.1"
    seat.slots.__post_init__()
    seat.yard.publish_extension("site", "1.1")
    assert seat.agent.run().act is Act.RESTART
    assert kept(seat, "site") == extension_of("1.1")
    seat.yard.publish_extension("site", "1.2")
    seat.agent.check()
    assert kept(seat, "site") == extension_of("1.1"), "a look changes nothing"
    assert seat.agent.update().act is Act.RESTART
    assert kept(seat, "site") == extension_of("1.2")


@pytest.mark.parametrize(
    ("change", "content"),
    [
        ({"foreign": True}, extension_of("1.2")),
        ({}, extension_of("1.2", fits=False)),
        ({"blind": True}, extension_of("1.2", fits=False)),
    ],
)
def test_what_the_host_refuses_is_not_kept_and_the_one_before_is_back(
    seat: Seat, change: dict[str, bool], content: bytes
) -> None:
    """Signed by another's key, or made for another version of the system."""
    seat.yard.publish_extension("site", "1.1")
    seat.agent.run()
    for key, value in change.items():
        setattr(seat.layers, key, value)
    seat.yard.publish_extension("site", "1.2", content=content)
    seat.agent.run()
    assert seat.layers.laid["sysext"]["site"] == extension_of("1.1") == kept(seat, "site")
    one = standing(seat, "site")
    assert (one.version, one.failed) == ("1.1", ("1.2",))
    assert "the host" in one.why
    seat.layers.foreign = seat.layers.blind = False
    seat.agent.run()
    assert "1.2 failed here, and is not tried again" in standing(seat, "site").why
    seat.yard.publish_extension("site", "1.3")
    seat.agent.run()
    assert kept(seat, "site") == extension_of("1.3")


def test_the_agent_updates_itself_last(seat: Seat) -> None:
    """What the image brought counts as the version of the image."""
    seat.yard.publish_extension("agent", "1.2")
    seat.agent.run()
    assert kept(seat, "agent") == FROM_THE_IMAGE
    assert remembered(seat, "agent").newest == "1.2"
    seat.yard.publish_extension("agent", "1.3")
    seat.yard.publish_extension("site", "1.1")
    seat.agent.run()
    assert kept(seat, "agent") == extension_of("1.3")
    said = [json.loads(line) for line in seat.home.journal.read_text().splitlines()]
    assert [one["extension"] for one in said if one["did"] == "laid over"] == ["site", "agent"]


def test_an_agent_that_does_not_prove_itself_is_taken_back_and_tried_a_few_times(seat: Seat) -> None:
    seat.layers.proves = lambda layers: layers.laid["sysext"]["agent"] != extension_of("1.3")
    seat.yard.publish_extension("agent", "1.3")
    for tries in (1, 2, 3):
        seat.agent.run()
        assert seat.layers.laid["sysext"]["agent"] == FROM_THE_IMAGE == kept(seat, "agent")
        assert remembered(seat, "agent").tries == tries
        assert "could not do its work" in standing(seat, "agent").why
    seat.agent.run()
    assert remembered(seat, "agent").failed == ("1.3",)
    seat.layers.proves = lambda _: True
    seat.agent.run()
    assert kept(seat, "agent") == FROM_THE_IMAGE
    seat.yard.publish_extension("agent", "1.4")
    seat.agent.run()
    assert kept(seat, "agent") == extension_of("1.4")


def test_an_extension_with_which_the_node_does_not_reach_its_place_is_taken_back(seat: Seat) -> None:
    seat.yard.publish_extension("site", "1.1", kind="confext")
    seat.layers.proves = lambda layers: "site" not in layers.laid["confext"]
    seat.agent.run()
    assert (seat.layers.laid["confext"], kept(seat, "site", "confext")) == ({}, None)
    seat.layers.proves = lambda _: True
    seat.agent.run()
    assert kept(seat, "site", "confext") == extension_of("1.1")


def test_an_agent_that_fails_with_its_host_takes_a_newer_one_all_the_same(seat: Seat) -> None:
    seat.slots.running = "1.1"
    seat.slots.__post_init__()
    seat.yard.publish_extension("agent", "1.3")

    def fails(version: str) -> None:
        raise ToolError("no", command="systemd-sysupdate", returncode=1)

    seat.slots.stage = fails  # type: ignore[method-assign]
    with pytest.raises(ToolError):
        seat.agent.run()
    assert kept(seat, "agent") == extension_of("1.3")


def test_what_is_revoked_goes_and_so_does_what_is_no_longer_followed(seat: Seat) -> None:
    seat.yard.publish_extension("site", "1.1")
    seat.yard.publish_extension("agent", "1.3")
    seat.agent.run()
    seat.yard.revoke("1.1", "site-amd64")
    seat.yard.revoke("1.3", "agent-amd64")
    seat.agent.run()
    assert (seat.layers.laid["sysext"], kept(seat, "site")) == ({"agent": extension_of("1.3")}, None)
    seat.yard.publish_extension("site", "1.4")
    seat.agent.run()
    assert kept(seat, "site") == extension_of("1.4")
    seat.settings = seat.settings.model_copy(update={"extensions": ()})
    seat.agent.run()
    assert (kept(seat, "site"), set(seat.layers.laid["sysext"])) == (None, {"agent"})
    assert Shelf(seat.home.extensions).names() == ("agent",)
    assert journal(seat).count("taken away") == 2
    seat.settings = seat.settings.model_copy(update={"agent": "another-agent"})
    seat.agent.run()
    assert kept(seat, "agent") == extension_of("1.3"), "it may be the one that the host lays over itself"


@pytest.mark.parametrize("reason", ["not blessed", "holds this node", "window opens", "turn of this node"])
def test_it_waits(seat: Seat, reason: str) -> None:
    seat.yard.publish_extension("site", "1.1")
    now = seat.yard.clock + seat.ahead
    opens = (now + timedelta(hours=5)).strftime("%H:%M") + "-" + (now + timedelta(hours=6)).strftime("%H:%M")
    match reason:
        case "not blessed":
            seat.slots.is_blessed = False
        case "holds this node":
            seat.settings = seat.settings.model_copy(update={"hold": True})
        case "window opens":
            window = type(seat.settings).model_validate({**seat.settings.model_dump(), "window": opens})
            seat.settings = window
        case _:
            seat.ahead = timedelta()
    seat.agent.run()
    assert kept(seat, "site") is None
    assert reason in standing(seat, "site").why


def test_killed_at_any_change_of_any_file_one_of_both_is_laid_over_and_the_next_run_goes_on(yard: Yard) -> None:
    """Whether the machine restarts then, or the agent runs again in the same boot."""
    yard.publish_extension("agent", "1.3")
    yard.publish_extension("site", "1.1", kind="confext")
    root = yard.root / "nodes"
    death = Death(root)
    for number in range(1, 400):
        seat = Seat.at(yard, "1.2", extensions=["site"])
        seat.home, seat.layers = Home(root / str(number) / "agent"), Layers(root / str(number) / "host")
        seat.layers.put("agent", FROM_THE_IMAGE)
        with death.at(number), suppress(KilledError):
            seat.agent.run()
            break
        if number % 2:
            seat.layers.restart()
            assert seat.layers.laid["sysext"]["agent"] in {FROM_THE_IMAGE, extension_of("1.3")}
        seat.agent.run()
        assert kept(seat, "agent") == extension_of("1.3") == seat.layers.laid["sysext"]["agent"]
        assert kept(seat, "site", "confext") == extension_of("1.1") == seat.layers.laid["confext"]["site"]
        assert not remembered(seat, "agent").failed
        assert not any(list(seat.layers.passing(kind).glob("*")) for kind in ("sysext", "confext"))
    else:
        pytest.fail("it never came to its end")
    assert number > 60


def test_a_trial_that_ends_the_machine_each_time_is_given_up(seat: Seat) -> None:
    seat.yard.publish_extension("agent", "1.3")

    def dies(layers: Layers) -> bool:
        raise KilledError

    seat.layers.proves = dies
    for _ in range(3):
        with pytest.raises(KilledError):
            seat.agent.run()
        seat.layers.restart()
        assert seat.layers.laid["sysext"]["agent"] == FROM_THE_IMAGE
    seat.agent.run()
    assert remembered(seat, "agent").failed == ("1.3",)


def test_a_mirror_that_lost_a_file_is_told_and_nothing_changes(seat: Seat) -> None:
    seat.yard.publish_extension("site", "1.1")
    files = list(seat.yard.repo.rglob("*.extension.raw"))
    for path in files:
        path.rename(path.with_suffix(".gone"))
    assert seat.agent.run().act is Act.STAY
    assert "did not arrive" in standing(seat, "site").why or "cannot be read" in standing(seat, "site").why
    assert kept(seat, "site") is None
    for path in files:
        path.with_suffix(".gone").rename(path)
    seat.agent.run()
    assert kept(seat, "site") == extension_of("1.1")


def test_whoever_is_asked_for_proof_looks_and_changes_nothing(seat: Seat) -> None:
    before = sorted(seat.home.folder.rglob("*"))
    seat.agent.prove()
    assert sorted(seat.home.folder.rglob("*")) == before
    (seat.yard.repo / "metadata/timestamp.json").unlink()
    with pytest.raises(ZaffreError):
        seat.agent.prove()
