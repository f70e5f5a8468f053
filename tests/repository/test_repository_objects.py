# SPDX-License-Identifier: Apache-2.0
"""Object stores: the right to write, over fsspec's memory; and a real S3 server that may die."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from support.repository import NOW, Deb
from support.s3 import S3, s3_server
from support.shop import NEWER, OLDER, Shop, greeting, hello
from support.upstreams import said
from zaffre.errors import DefinitionError, WorldError, ZaffreError
from zaffre.place import lease
from zaffre.place.lease import LEASE
from zaffre.place.objects import Objects, open_objects
from zaffre.place.target import open_readable, open_target
from zaffre.progress import SILENT
from zaffre.repository.build import Order
from zaffre.repository.collect import Rule, collect
from zaffre.repository.layout import snapshot_name
from zaffre.repository.overview import overview
from zaffre.repository.publish import publish
from zaffre.repository.state import read_suite
from zaffre.repository.verify import verify_repository


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    monkeypatch.setattr(lease, "_PAUSE", 0.05)
    return open_objects(f"memory:/{tmp_path}")


def holds(shop: Shop, target: Objects) -> bool:
    return verify_repository(target, shop.keyring, channels=("dev",), now=NOW, quick=False, progress=SILENT).ok


def at(shop: Shop, target: Objects) -> str | None:
    suite = read_suite(target, "dev", shop.keyring, now=NOW)
    return suite.snapshot if suite is not None else None


def held_by(until: datetime) -> bytes:
    return json.dumps({"token": "x", "who": "process 1 on elsewhere", "until": until.isoformat()}).encode()


@pytest.mark.tools
def test_what_works_in_a_folder_works_in_an_object_store(shop: Shop, memory: Objects) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), memory)
    assert holds(shop, memory)
    second = shop.publish(shop.lock(hello("2.0"), greeting(), at=NEWER), memory)
    assert (second.pool_files, second.kept_files) == (1, 1)
    assert [one.name for one in overview(memory, shop.keyring, now=NOW).snapshots] == [
        snapshot_name(OLDER),
        snapshot_name(NEWER),
    ]
    done = collect(memory, shop.keyring, Rule(keep=1), now=NOW, dry_run=False)
    assert (done.snapshots, done.packages) == ((snapshot_name(OLDER),), 1)
    assert holds(shop, memory)
    assert memory.read(LEASE, limit=1 << 20) is None


def test_who_publishes_now_is_said_to_the_second_one(memory: Objects) -> None:
    with memory.publishing() as held:
        held.check()
        with pytest.raises(WorldError, match="another is publishing here") as caught, memory.publishing():
            pytest.fail("both have it")
        assert "process" in said(caught.value)
        held.check()
    with memory.publishing():
        pass


def test_of_many_at_once_one_has_it(memory: Objects) -> None:
    start, count = threading.Barrier(6), []

    def try_it() -> None:
        start.wait()
        try:
            with memory.publishing() as held:
                held.check()
                count.append(1)
                done.wait(1)
        except WorldError:
            return

    done = threading.Event()
    threads = [threading.Thread(target=try_it) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(count) == 1


def test_a_lease_that_a_killed_publisher_left_runs_out(memory: Objects) -> None:
    memory.put(LEASE, held_by(datetime.now(UTC) + timedelta(minutes=1)))
    with pytest.raises(WorldError, match="another is publishing here") as caught, memory.publishing():
        pytest.fail("it is held")
    assert "process 1 on elsewhere" in said(caught.value)
    memory.put(LEASE, held_by(datetime.now(UTC) - timedelta(seconds=1)))
    with memory.publishing() as held:
        held.check()


@pytest.mark.tools
def test_who_has_lost_the_right_does_not_write_the_file_that_counts(shop: Shop, memory: Objects) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), memory)
    snapshot = shop.workshop(shop.lock(hello("2.0"), greeting(), at=NEWER)).snapshot(Order())

    class Robbed(Objects):
        def put_file(self, path: str, source: Path) -> None:
            super().put_file(path, source)
            self.put(LEASE, held_by(datetime.now(UTC) + timedelta(minutes=1)))

    robbed = Robbed(memory._system, memory._root, memory.shown)
    with pytest.raises(WorldError, match="another is publishing here"):
        publish(snapshot, "dev", robbed, shop.hand(), store=shop.store, progress=SILENT, dry_run=False)
    assert at(shop, memory) == snapshot_name(OLDER)
    lease_left = memory.read(LEASE, limit=4096)
    assert lease_left is not None
    assert b"process 1 on elsewhere" in lease_left


def test_the_right_is_renewed_as_long_as_its_holder_lives(memory: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LASTS", timedelta(seconds=0.6))
    monkeypatch.setattr(lease, "_RENEWED", 0.1)
    with memory.publishing() as held:
        threading.Event().wait(1.5)
        held.check()


def test_places_that_nothing_can_be_published_to(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="cannot be published by HTTP"):
        open_target("https://packages.example/linux")
    with pytest.raises(DefinitionError, match="is no object store"):
        open_target("sftp://here/linux")
    assert open_readable(f"file://{tmp_path}").shown == str(tmp_path)


def test_a_driver_that_is_not_installed_is_named() -> None:
    program = """
import sys
sys.modules["s3fs"] = None
from zaffre.errors import DefinitionError
from zaffre.place.target import open_target
try:
    open_target("s3://bucket/linux")
except DefinitionError as error:
    print(error, error.resolution)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "needs a driver that is not installed" in done.stdout
    assert "pip install 'zaffre[s3]'" in done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    pytest.importorskip("s3fs")
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def bucket(server: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Objects:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    return open_objects(f"{server.url}/{tmp_path.name}")


@pytest.mark.tools
def test_s3_takes_a_repository_and_gives_it_back(shop: Shop, bucket: Objects) -> None:
    odd = Deb("lib+odd", "1:2.0~rc1+b1", "amd64", files={"usr/lib/odd": "x" * 300_000})
    first = shop.publish(shop.lock(hello("1.0"), greeting(), odd, at=OLDER), bucket)
    assert first.pool_files == 3
    assert holds(shop, bucket)
    second = shop.publish(shop.lock(hello("2.0"), greeting(), odd, at=NEWER), bucket)
    assert (second.pool_files, second.kept_files) == (1, 2)
    assert holds(shop, bucket)
    assert collect(bucket, shop.keyring, Rule(keep=1), now=NOW, dry_run=False).packages == 1
    assert holds(shop, bucket)


@pytest.mark.tools
def test_s3_gives_the_right_to_write_to_one_only(bucket: Objects) -> None:
    assert bucket.create("probe", b"1")
    assert not bucket.create("probe", b"2")
    with bucket.publishing(), pytest.raises(WorldError, match="another is publishing here"), bucket.publishing():
        pytest.fail("both have it")


@pytest.mark.tools
def test_a_server_that_dies_leaves_the_old_channel_whole(shop: Shop, server: S3, bucket: Objects) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), bucket)
    parts = [Deb(f"part{number}", files={"usr/share/part": f"{number}" * 50_000}) for number in range(6)]
    new = shop.workshop(shop.lock(hello("2.0"), greeting(), *parts, at=NEWER)).snapshot(Order())

    class Dying(Objects):
        """Its server dies before the fifth of seven packages; they go up one after the other."""

        left = 5
        turn = threading.Lock()

        def put_file(self, path: str, source: Path) -> None:
            with Dying.turn:
                Dying.left -= 1
                if Dying.left == 0:
                    server.kill()
                super().put_file(path, source)

    dying = Dying(bucket._system, bucket._root, bucket.shown)
    with pytest.raises(ZaffreError) as caught:
        publish(new, "dev", dying, shop.hand(), store=shop.store, progress=SILENT, dry_run=False)
    said(caught.value)
    server.start()
    assert at(shop, bucket) == snapshot_name(OLDER)
    assert holds(shop, bucket)
    bucket.remove([LEASE])  # five minutes later
    again = publish(new, "dev", bucket, shop.hand(), store=shop.store, progress=SILENT, dry_run=False)
    assert (again.kept_files, again.pool_files) == (5, 3)
    assert at(shop, bucket) == snapshot_name(NEWER)
    assert holds(shop, bucket)
