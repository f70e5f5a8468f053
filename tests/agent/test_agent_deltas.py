# SPDX-License-Identifier: Apache-2.0
"""A node that comes to a version by deltas from what it runs, and by whole files when anything is wrong with them."""

from __future__ import annotations

import errno
import lzma
from collections.abc import Callable
from pathlib import Path

import pytest

from support.nodes import Failing, Seat
from support.releases import Yard, neighbour
from zaffre.agent import bring
from zaffre.agent.bring import choose
from zaffre.agent.download import SPARE, Downloads
from zaffre.agent.handover import ORDER, Expected
from zaffre.agent.host import Machine
from zaffre.agent.source import Folder
from zaffre.agent.status import status
from zaffre.delta.vcdiff import HEADER, integer
from zaffre.errors import DiskFullError, WorldError
from zaffre.follow.deltas import deltas_of
from zaffre.offer import Act, Delta, Listed, smallest
from zaffre.offer.delta import End


@pytest.fixture(scope="module")
def grown(published: Yard, tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """1.3 and 1.4 after what is published, and a delta of each file between them. Not to be changed."""
    made = published.copy(tmp_path_factory.mktemp("grown") / "yard")
    made.publish("1.3", contents=neighbour("1.3"))
    made.publish("1.4", contents=neighbour("1.4"), deltas=2)
    return made


@pytest.fixture
def neighbours(grown: Yard, tmp_path: Path) -> Yard:
    return grown.copy(tmp_path / "yard")


def at(yard: Yard, running: str = "1.3", **settings: object) -> Seat:
    seat = Seat.at(yard, running, **settings)
    seat.slots.contents[running] = {name: neighbour(running)[name] for name in ORDER}
    return seat


def deltas(yard: Yard) -> tuple[Listed, ...]:
    return deltas_of(yard.state().role("dev").signed.targets)


def lying(yard: Yard, file: str = "root.erofs") -> Path:
    """Where a delta lies on the mirror."""
    return next(yard.repo.glob(f"targets/pool/*/*.{file}.*.vcdiff.xz"))


def come(seat: Seat) -> dict[str, object]:
    """Let it come to 1.4, and give back what it says of how."""
    assert seat.agent.run().act is Act.RESTART
    assert seat.slots.contents["1.4"] == {name: neighbour("1.4")[name] for name in ORDER}
    assert not list(seat.home.parts.iterdir())
    return seat.home.brought


def test_it_comes_by_deltas_and_says_so(neighbours: Yard) -> None:
    seat = at(neighbours)
    watched = Failing(Folder(neighbours.repo), left=60_000)
    seat.place = watched
    brought = come(seat)
    assert brought["by_delta"] == list(ORDER)
    assert brought["fell_back"] == {}
    assert brought["fetched"] == sum(one.length for one in deltas(neighbours))
    assert all(path.endswith(".vcdiff.xz") for path, _ in watched.asked)
    said = status(seat.slots, seat.home, seat.settings, neighbours.clock, overlay=seat.layers)
    assert said.plain()["brought"] == brought
    assert any("by deltas from 1.3" in line for line in said.lines())
    assert '"by_delta": "root.verity, root.erofs, uki.efi"' in seat.home.journal.read_text()


def test_another_version_runs_and_all_comes_whole(neighbours: Yard) -> None:
    seat = Seat.at(neighbours, "1.2")
    assert seat.agent.run().version == "1.4"
    assert seat.home.brought["by_delta"] == []
    assert seat.home.brought["fetched"] == seat.home.brought["whole"]


def missing(path: Path) -> None:
    path.unlink()


def corrupted(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def endless(path: Path) -> None:
    path.write_bytes(path.read_bytes() + bytes(1 << 20))


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("way", [missing, corrupted, truncated, endless, empty])
def test_a_delta_that_is_not_the_signed_one_is_left_for_the_whole_file(
    neighbours: Yard, way: Callable[[Path], None]
) -> None:
    way(lying(neighbours))
    brought = come(at(neighbours))
    assert brought["by_delta"] == ["root.verity", "uki.efi"]
    assert isinstance(brought["fell_back"], dict)
    assert list(brought["fell_back"]) == ["root.erofs"]


def test_what_runs_is_another_file_than_its_version_has(neighbours: Yard) -> None:
    """A bit flipped in the slot: nothing is fetched for nothing."""
    seat = at(neighbours)
    damaged = bytearray(neighbour("1.3")["root.erofs"])
    damaged[100] ^= 1
    seat.slots.contents["1.3"]["root.erofs"] = bytes(damaged)
    watched = Failing(Folder(neighbours.repo), left=1 << 30)
    seat.place = watched
    brought = come(seat)
    assert "not the one that the delta begins with" in str(brought["fell_back"])
    assert not any(".vcdiff.xz" in path and "root.erofs" in path for path, _ in watched.asked)
    journal = seat.home.journal.read_text()
    assert '"did": "delta failed"' in journal
    said = "\n".join(status(seat.slots, seat.home, seat.settings, neighbours.clock, overlay=seat.layers).lines())
    assert "whole, as their delta failed: root.erofs" in said


def test_what_runs_cannot_be_read(neighbours: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    seat = at(neighbours)
    monkeypatch.setattr(seat.slots, "source", lambda _: Path("/does/not/exist"))
    assert come(seat)["by_delta"] == []
    other = at(neighbours)
    monkeypatch.setattr(other.slots, "source", lambda _: None)
    assert other.agent.check().act is Act.RESTART  # staged by the run above


def window(length: int, data: bytes) -> bytes:
    """One that adds `data` and says that it makes `length` bytes."""
    codes = b"\x01" + integer(len(data))
    body = integer(length) + b"\0" + integer(len(data)) + integer(len(codes)) + b"\0" + data + codes
    return b"\0" + integer(len(body)) + body


BAD = {
    "no xz": b"this is no delta",
    "no vcdiff": lzma.compress(b"this is no delta"),
    "only a header": lzma.compress(HEADER),
    "makes another file": lzma.compress(HEADER + window(305_000, bytes(305_000))),
    "makes too much": lzma.compress(HEADER + window(400_000, bytes(400_000)) * 2),
    "says another length": lzma.compress(HEADER + window(305_000, b"a few")),
    "goes on": lzma.compress(HEADER + window(305_000, bytes(305_000))) + b"more",
    "a bomb": lzma.compress(bytes(50_000_000)),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_signed_delta_that_does_not_fit_is_left_for_the_whole_file(neighbours: Yard, kind: str) -> None:
    """Its maker was wrong, or lied."""
    neighbours.replace_delta("root.erofs", BAD[kind])
    brought = come(at(neighbours))
    assert isinstance(brought["fell_back"], dict)
    assert list(brought["fell_back"]) == ["root.erofs"]
    assert brought["by_delta"] == ["root.verity", "uki.efi"]


def test_without_room_for_deltas_all_comes_whole(neighbours: Yard) -> None:
    seat = at(neighbours)
    whole = sum(len(neighbour("1.4")[name]) for name in ORDER)
    seat.downloads = lambda place, folder, rate, progress: Downloads(
        place, folder, rate, progress, free=lambda _: whole + SPARE
    )
    brought = come(seat)
    assert (brought["by_delta"], brought["fell_back"]) == ([], {})


def test_a_disk_that_fills_while_a_delta_is_applied(neighbours: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space left on device")

    seat = at(neighbours)
    monkeypatch.setattr(bring, "apply_delta", full)
    brought = come(seat)
    assert brought["by_delta"] == []
    assert "disk is full" in str(brought["fell_back"])


def test_a_disk_that_stays_full_is_told(neighbours: Yard) -> None:
    """The room is counted before anything is begun."""
    seat = at(neighbours)
    seat.downloads = lambda place, folder, rate, progress: Downloads(
        place, folder, rate, progress, free=lambda _: 1 << 20
    )
    with pytest.raises(DiskFullError):
        seat.agent.run()
    assert not seat.slots.written


def test_a_place_that_goes_away_in_a_delta_is_gone_on_with(neighbours: Yard) -> None:
    seat = at(neighbours)
    first = deltas(neighbours)
    seat.place = Failing(Folder(neighbours.repo), left=min(one.length for one in first) // 2)
    with pytest.raises(WorldError):
        seat.agent.run()
    assert not seat.slots.written
    seat.place = Folder(neighbours.repo)
    assert come(seat)["by_delta"] == list(ORDER)


def test_what_is_nearly_here_is_gone_on_with_and_no_delta_is_fetched(neighbours: Yard) -> None:
    seat = at(neighbours)
    record = neighbours.records()["1.4"]
    digest = record.files["root.erofs"].split("/")[1]
    seat.home.parts.mkdir(parents=True)
    (seat.home.parts / f"{digest}.part").write_bytes(neighbour("1.4")["root.erofs"][:-500])
    brought = come(seat)
    assert brought["by_delta"] == ["root.verity", "uki.efi"]
    assert brought["fell_back"] == {}


def listed(version: str, target: str, length: int, path: str = "a") -> Listed:
    ends = [End(version=one, sha256=digest * 64, length=100) for one, digest in ((version, "0"), ("2", target))]
    return Listed(Delta(file="root.erofs", source=ends[0], target=ends[1]), path, length, "f" * 64)


def test_the_smallest_delta_that_fits_is_chosen() -> None:
    one, two, other = listed("1", "a", 50), listed("1", "a", 40, "b"), listed("0", "a", 1)
    assert smallest([one, two, other], "1", "a" * 64, 100) is two
    assert smallest([one, two, other], "1", "a" * 64, 41) is two
    assert smallest([one, two, other], "1", "a" * 64, 40) is None
    assert smallest([one, two, other], "1", "b" * 64, 100) is None
    assert smallest([], "1", "a" * 64, 100) is None
    whole = {"root.erofs": Expected("place", 100, "a" * 64), "uki.efi": Expected("place", 100, "c" * 64)}
    have = dict.fromkeys(whole, 0)
    assert choose(whole, [one, two], "1", have) == {"root.erofs": two}
    assert choose(whole, [one, two], "1", {**have, "root.erofs": 70}) == {}


def test_a_machine_knows_where_the_files_of_its_version_are(tmp_path: Path) -> None:
    digest = "0123456789abcdef" * 4
    files = {
        "etc/machine-id": "0" * 32,
        "etc/os-release": "ID=zaffre\nIMAGE_ID=zaffre-host\nIMAGE_VERSION=1.3\n",
        "proc/sys/kernel/random/boot_id": "0" * 32,
        "proc/cmdline": f"quiet roothash={digest} root=/dev/mapper/root",
        "boot/EFI/Linux/zaffre-host_1.3.efi": "kernel",
        "boot/EFI/Linux/zaffre-host_1.4+3.efi": "another one",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    machine = Machine(tmp_path)
    disks = tmp_path / "dev/disk/by-partuuid"
    assert machine.source("root.erofs") == disks / "01234567-89ab-cdef-0123-456789abcdef"
    assert machine.source("root.verity") == disks / "01234567-89ab-cdef-0123-456789abcdef"
    assert machine.source("uki.efi") == tmp_path / "boot/EFI/Linux/zaffre-host_1.3.efi"
    assert machine.source("manifest.json") is None
    (tmp_path / "proc/cmdline").write_text(f"usrhash={digest}")
    assert machine.source("root.erofs") is None
    (tmp_path / "boot/EFI/Linux/zaffre-host_1.3+2-1.efi").write_text("twice")
    assert machine.source("uki.efi") is None
