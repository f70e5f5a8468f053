# SPDX-License-Identifier: Apache-2.0
"""A node among liars, thieves and deaths: whatever it is shown and wherever it is killed, it keeps what runs, and goes
on by itself when all is well again.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata

from support.death import Death
from support.mirror import serving
from support.nodes import KilledError, Seat
from support.releases import Yard, open_ring
from zaffre.agent.source import open_place
from zaffre.errors import IntegrityError, WorldError
from zaffre.offer import Act


def test_killed_at_any_change_of_any_file_the_next_run_goes_on(yard: Yard) -> None:
    """Of metadata, parts, what is handed over, what it remembers: before each in turn, until a run is through."""
    root = yard.root / "agents"
    death = Death(root)
    for number in range(1, 300):
        seat = Seat.at(yard, "1.1")
        seat.home = type(seat.home)(root / str(number))
        seat.slots.incoming = seat.home.incoming
        with death.at(number), suppress(KilledError):
            seat.agent.run()
            break
        assert seat.slots.running in seat.slots.entries
        assert all(seat.slots.installed(one) for one in seat.slots.entries)
        assert seat.agent.run().act is Act.RESTART
        assert seat.slots.contents["1.2"] == seat.payload("1.2")
        assert not seat.home.failed
    else:
        pytest.fail("it never came to its end")
    assert number > 40


def older(yard: Yard, old: Path) -> None:
    shutil.rmtree(yard.repo)
    shutil.copytree(old, yard.repo)


def mixed(yard: Yard, old: Path) -> None:
    version = yard.state().channels["dev"].signed.version
    shutil.copy(old / f"metadata/{version - 1}.dev.json", yard.repo / f"metadata/{version}.dev.json")


def signed_by_too_few(yard: Yard, old: Path) -> None:
    ring, state = open_ring(*yard.signers), yard.state()
    root = Metadata(state.root.signed)
    root.signed.version += 1
    root.sign(ring.signer(ring.named("root-1").key.keyid))
    (yard.repo / f"metadata/{root.signed.version}.root.json").write_bytes(root.to_bytes())


def signed_by_a_stranger(yard: Yard, old: Path) -> None:
    other = Yard(yard.root / "stranger", yard.owner)
    other.found()
    other.publish("6.6")
    older(yard, other.repo)


def unsigned(yard: Yard, old: Path) -> None:
    path = yard.repo / "metadata/timestamp.json"
    path.write_bytes(path.read_bytes().replace(b'"version":', b'"version":9'))


@pytest.mark.parametrize("show", [older, mixed, signed_by_too_few, signed_by_a_stranger, unsigned])
def test_a_mirror_that_lies_is_not_believed(yard: Yard, show: Callable[[Yard, Path], None]) -> None:
    seat = Seat.at(yard, "1.2")
    old = Path(shutil.copytree(yard.repo, yard.root / "old"))
    yard.publish("1.3")
    if show is not mixed:  # who has the newest channel already does not ask for it again
        assert seat.agent.check().version == "1.3"
    honest = Path(shutil.copytree(yard.repo, yard.root / "honest"))
    show(yard, old)
    with pytest.raises(IntegrityError, match="does not verify"):
        seat.agent.run()
    assert not seat.slots.written
    assert "problem" in seat.home.last
    older(yard, honest)
    assert seat.agent.run().act is Act.RESTART
    assert seat.slots.written == ["1.3"]


def test_a_wild_future_of_stolen_keys_ends_with_new_keys(yard: Yard) -> None:
    seat = Seat.at(yard, "1.2")
    honest = (yard.repo / "metadata/timestamp.json").read_bytes()
    yard.sign_a_wild_future()
    assert seat.agent.run().act is Act.STAY
    (yard.repo / "metadata/timestamp.json").write_bytes(honest)
    yard.publish("1.3")
    with pytest.raises(IntegrityError, match="does not verify"):
        seat.agent.run()
    yard.replace_online_keys()
    assert seat.agent.run().version == "1.3"
    assert seat.slots.written == ["1.3"]


def test_it_was_off_while_the_root_rotated_five_times(yard: Yard) -> None:
    seat = Seat.at(yard, "1.2")
    assert seat.agent.run().act is Act.STAY
    yard.rotate_root(5)
    yard.replace_online_keys()
    yard.publish("1.3")
    assert seat.agent.run().version == "1.3"
    assert seat.slots.written == ["1.3"]


def test_the_later_of_two_orders_counts(yard: Yard) -> None:
    yard.publish("1.3")
    seat = Seat.at(yard, "1.1", window="03:00-03:01")
    seat.agent.order("1.2")
    assert seat.agent.update().version == "1.2"
    seat.agent.order("1.3")
    done = seat.agent.run()
    assert (done.act, done.version) == (Act.RESTART, "1.3")
    assert seat.slots.entries == {"1.1", "1.3"}


RUNS = """
import sys
from pathlib import Path
from support.nodes import Seat
from support.releases import Yard
yard = Yard(Path(sys.argv[1]), None, [Path(sys.argv[1]) / "signers"], first=Path(sys.argv[2]).read_bytes())
seat = Seat.at(yard, "1.1")
from zaffre.agent.source import open_place
seat.place = open_place(sys.argv[3])
print("begins", flush=True)
seat.agent.run()
"""


def test_while_another_process_updates_neither_a_run_nor_an_order_comes_between(yard: Yard) -> None:
    """Its mirror is slow; when it is killed, its right has ended with it."""
    seat = Seat.at(yard, "1.1")
    first = yard.root / "first.json"
    first.write_bytes(yard.first)
    with serving(yard.repo, "root.erofs", "slow") as url:
        other = subprocess.Popen(
            [sys.executable, "-c", RUNS, str(yard.root), str(first), url],
            stdout=subprocess.PIPE,
            env={"PYTHONPATH": ":".join(sys.path)},
        )
        with other:
            try:
                wait_for(seat.home.parts, other)
                for act in (seat.agent.run, seat.agent.update, lambda: seat.agent.order("1.2")):
                    with pytest.raises(WorldError, match="another zaffre-agent") as told:
                        act()
                    assert f"process {other.pid}" in str(told.value.details)
            finally:
                other.kill()
    seat.place = open_place(str(yard.repo))
    assert seat.agent.run().act is Act.RESTART
    assert seat.slots.written == ["1.2"]


def wait_for(parts: Path, process: subprocess.Popen[bytes]) -> None:
    """Until something of the slow file has come."""
    while not list(parts.glob("*.part")) and process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    assert process.poll() is None
