# SPDX-License-Identifier: Apache-2.0
"""A node that follows a channel: from a look to a blessed boot in the next version, and what keeps it from that."""

from __future__ import annotations

from datetime import timedelta
from itertools import chain, repeat
from pathlib import Path

import pytest

from support.nodes import Failing, KilledError, Seat
from support.releases import Yard
from zaffre.agent import handover, work
from zaffre.agent.files import alone, write_json
from zaffre.agent.handover import ORDER
from zaffre.agent.source import Folder
from zaffre.errors import DiskFullError, FindingError, IntegrityError, WorldError
from zaffre.offer import Act


def test_from_one_version_to_the_next(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    assert seat.agent.check().act is Act.STAGE
    assert not seat.slots.written
    done = seat.agent.run()
    assert (done.act, done.version, seat.slots.restarts) == (Act.RESTART, "1.2", 1)
    assert seat.slots.contents["1.2"] == seat.payload("1.2")
    assert not list(seat.home.incoming.iterdir())
    assert not list(seat.home.parts.iterdir())
    seat.slots.boot_into("1.2", blessed=False)
    assert seat.agent.run().act is Act.WAIT
    assert seat.home.staged is not None
    seat.slots.is_blessed = True
    assert seat.agent.run().act is Act.STAY
    assert seat.home.staged is None
    assert not seat.home.failed


def test_before_its_turn_and_before_its_boot_is_blessed_nothing_is_written(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    seat.ahead = timedelta(0)
    assert seat.agent.run().act is Act.WAIT
    seat.agent.order("1.2")
    seat.slots.is_blessed = False
    waits = seat.agent.run()
    assert waits.act is Act.WAIT
    assert "not blessed" in waits.reason
    assert not seat.home.incoming.exists()
    seat.slots.is_blessed = True
    assert seat.agent.run().act is Act.RESTART


def test_a_boot_that_is_no_longer_blessed_after_the_download_is_left_alone(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = Seat.at(yard, "1.1")
    answers = chain([True], repeat(False))
    monkeypatch.setattr(seat.slots, "blessed", lambda: next(answers))
    with pytest.raises(FindingError, match="not blessed"):
        seat.agent.run()
    assert not seat.slots.written


def test_a_version_that_did_not_come_up_is_not_tried_again_but_on_order(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    seat.agent.run()
    seat.slots.boot_into("1.2", blessed=False)
    seat.slots.boot_into("1.1")
    stays = seat.agent.run()
    assert stays.act is Act.STAY
    assert "did not come up" in stays.reason
    assert seat.home.failed == ("1.2",)
    seat.agent.order("1.2")
    assert seat.agent.run().act is Act.RESTART
    assert seat.slots.written == ["1.2", "1.2"]
    seat.slots.boot_into("1.1")
    assert seat.agent.run().act is Act.STAY
    assert seat.home.order is None
    yard.publish("1.3")
    assert seat.agent.run().version == "1.3"


def test_a_boot_entry_that_was_lost_is_no_failed_version(yard: Yard) -> None:
    """The power failed after all was written, and the ESP has nothing of it."""
    yard.publish("1.3")
    seat = Seat.at(yard, "1.1")
    seat.agent.order("1.3")
    assert seat.agent.run().act is Act.RESTART
    seat.slots.forget("1.3")
    seat.slots.boot_into("1.1")
    assert work.node_of(seat.slots, seat.home, seat.slots.identity()).failed == frozenset()
    assert seat.agent.run().act is Act.RESTART
    assert seat.home.failed == ()
    assert seat.home.order == "1.3"
    assert seat.slots.written == ["1.3", "1.3"]
    seat.slots.boot_into("1.3")
    assert seat.agent.run().act is Act.STAY


def test_what_the_hosts_checks_call_bad_is_not_tried(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    seat.slots.bad = frozenset({"1.2"})
    assert seat.agent.run().act is Act.STAY


def test_what_is_staged_and_then_revoked_is_dropped_and_does_not_boot(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1", window="03:00-03:01")
    seat.agent.update()
    assert "1.2" in seat.slots.entries
    yard.revoke("1.2")
    assert seat.agent.run().act is Act.STAY
    assert seat.slots.entries == {"1.1"}
    assert seat.home.staged is None


def test_without_restarts_it_stages_and_says_so(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1", restart=False)
    assert seat.agent.run().act is Act.RESTART
    assert seat.slots.restarts == 0


def test_two_at_once_are_refused(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    with alone(seat.home.lock), pytest.raises(WorldError, match="another zaffre-agent"):
        seat.agent.run()


def change(yard: Yard, way: str) -> None:
    """The mirror has another root file than was signed."""
    paths = sorted(yard.repo.glob("targets/pool/*/*.root.erofs"))
    signed = next(path for path in paths if b"of 1.2" in path.read_bytes())
    data = signed.read_bytes()
    other = next(path for path in paths if path != signed)
    changed = {
        "corrupted": data[:500] + b"X" + data[501:],
        "truncated": data[:500],
        "oversize": data + b"more",
        "swapped": other.read_bytes(),
        "empty": b"",
    }
    signed.write_bytes(changed[way])


@pytest.mark.parametrize("way", ["corrupted", "truncated", "oversize", "swapped", "empty"])
def test_a_payload_that_is_not_the_signed_one_never_reaches_a_slot(yard: Yard, way: str) -> None:
    seat = Seat.at(yard, "1.1")
    kept = {path: path.read_bytes() for path in yard.repo.glob("targets/pool/*/*")}
    change(yard, way)
    with pytest.raises(WorldError):
        seat.agent.run()
    assert not seat.slots.written
    assert not seat.home.incoming.exists() or not list(seat.home.incoming.iterdir())
    assert "problem" in seat.home.last
    for path, data in kept.items():
        path.write_bytes(data)
    assert seat.agent.run().act is Act.RESTART
    assert seat.slots.contents["1.2"] == seat.payload("1.2")


def test_a_mirror_that_goes_away_is_gone_on_with_where_it_was(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    seat.place = Failing(Folder(yard.repo), 1000)
    with pytest.raises(WorldError, match="did not arrive"):
        seat.agent.run()
    parts = sum(path.stat().st_size for path in seat.home.parts.iterdir())
    assert parts == 1000
    seat.place = again = Failing(Folder(yard.repo), 10**6)
    assert seat.agent.run().act is Act.RESTART
    assert 10**6 - again.left < 5300 - parts + 300
    assert any(start for _, start in again.asked)


def test_a_part_that_was_damaged_is_begun_anew(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    seat.place = Failing(Folder(yard.repo), 1000)
    with pytest.raises(WorldError):
        seat.agent.run()
    for part in seat.home.parts.glob("*.part"):
        part.write_bytes(b"?" * part.stat().st_size)
    seat.place = Folder(yard.repo)
    assert seat.agent.run().act is Act.RESTART
    assert seat.slots.contents["1.2"] == seat.payload("1.2")


def test_a_file_that_changes_after_the_download_is_found_at_the_hand_over(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = Seat.at(yard, "1.1")
    real = work.hand_over

    def damaged(files: dict[str, tuple[Path, handover.Expected]], names: dict[str, str], incoming: Path) -> None:
        path = files["root.erofs"][0]
        path.write_bytes(path.read_bytes()[:-1] + b"X")
        real(files, names, incoming)

    monkeypatch.setattr(work, "hand_over", damaged)
    with pytest.raises(IntegrityError, match="no longer what was verified"):
        seat.agent.run()
    assert not seat.slots.written
    monkeypatch.setattr(work, "hand_over", real)
    assert seat.agent.run().act is Act.RESTART


def test_metadata_that_expired_are_told_with_this_nodes_clock(yard: Yard) -> None:
    yard.later(days=-400)
    yard._keep(yard.desk().renew(None))
    seat = Seat.at(yard, "1.1")
    with pytest.raises(IntegrityError, match="expired") as told:
        seat.agent.run()
    assert "clock says" in str(told.value.details)
    assert not seat.slots.written


def test_a_clock_that_is_a_year_late_waits(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    seat.ahead = timedelta(days=-365)
    assert seat.agent.run().act is Act.WAIT


def test_a_full_disk_is_told_before_anything_is_begun(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")

    def full(*arguments: object) -> object:
        made = work.Downloads(*arguments)  # type: ignore[arg-type]
        made.free = lambda _: 1000
        return made

    seat.downloads = full  # type: ignore[assignment]
    with pytest.raises(DiskFullError, match="not enough room"):
        seat.agent.run()
    assert not list(seat.home.parts.iterdir())


@pytest.mark.parametrize("part", range(len(ORDER)))
def test_killed_while_a_slot_is_written(yard: Yard, part: int) -> None:
    seat = Seat.at(yard, "1.1")
    seat.slots.kill_in_stage = part
    with pytest.raises(KilledError):
        seat.agent.run()
    assert seat.slots.entries == {"1.1"}
    seat.slots.kill_in_stage = None
    seat.slots.boot_into("1.1")
    seat.place = nothing_more = Failing(Folder(yard.repo), 10**6)
    assert seat.agent.run().act is Act.RESTART
    assert not nothing_more.asked
    assert seat.slots.contents["1.2"] == seat.payload("1.2")


def test_a_newer_one_takes_the_place_of_what_is_staged(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1", window="03:00-03:01")
    assert seat.agent.update().version == "1.2"
    yard.publish("1.3")
    assert seat.agent.update().version == "1.3"
    assert seat.slots.entries == {"1.1", "1.3"}


def test_what_was_kept_and_is_damaged_is_not_known(yard: Yard) -> None:
    seat = Seat.at(yard, "1.1")
    seat.agent.update()
    for name in ("staged.json", "failed.json", "order.json", "last.json"):
        (seat.home.folder / name).write_text("{[")
    assert seat.agent.run().act is Act.RESTART
    write_json(seat.home.folder / "failed.json", {"versions": [1, {}, "1.2"]})
    assert seat.home.failed == ("1.2",)
