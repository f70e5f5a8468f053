# SPDX-License-Identifier: Apache-2.0
"""What goes when room is made, and what stays."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from support.repository import NOW
from support.shop import Shop, greeting, hello
from zaffre.errors import IntegrityError, WorldError
from zaffre.place.folder import Folder
from zaffre.progress import SILENT
from zaffre.repository.collect import Rule, collect
from zaffre.repository.layout import snapshot_name
from zaffre.repository.publish import promote
from zaffre.repository.state import snapshot_names
from zaffre.repository.verify import verify_repository

pytestmark = pytest.mark.tools

TIMES = [NOW - timedelta(days=days) for days in (40, 30, 20, 10)]
NAMES = [snapshot_name(time) for time in TIMES]


@pytest.fixture
def full(shop: Shop, target: Folder) -> Folder:
    """Four snapshots that differ in one package; `stable` is at the oldest and `dev` at the newest."""
    for number, time in enumerate(TIMES):
        shop.publish(shop.lock(hello(f"{number}.0"), greeting(), at=time), target)
        if number == 0:
            promote(target, shop.hand(), "stable", NAMES[0])
    return target


def versions(repo: Path) -> list[str]:
    return sorted(path.name.split("_")[1] for path in repo.glob("pool/*/*/hello_*"))


def holds(shop: Shop, target: Folder) -> bool:
    channels = ("dev", "stable")
    return verify_repository(target, shop.keyring, channels=channels, now=NOW, quick=False, progress=SILENT).ok


def test_what_a_channel_names_stays_and_only_loose_packages_go(shop: Shop, full: Folder, repo: Path) -> None:
    done = collect(full, shop.keyring, Rule(keep=1), now=NOW, dry_run=False)
    assert done.snapshots == (NAMES[2], NAMES[1])
    assert set(done.kept) == {NAMES[0], NAMES[3]}
    assert versions(repo) == ["0.0", "3.0"]
    assert done.packages == 2
    assert holds(shop, full)
    # The channel's indexes of the snapshots that went are gone too.
    assert len(list((repo / "dists/dev/main/binary-amd64/by-hash/SHA256").iterdir())) == 2
    assert not list(repo.glob(f"dists/snapshots/{NAMES[1]}*"))


def test_both_rules_must_agree(shop: Shop, full: Folder) -> None:
    old = Rule(keep=2, age=timedelta(days=35))
    assert collect(full, shop.keyring, old, now=NOW, dry_run=True).snapshots == ()
    assert collect(full, shop.keyring, Rule(age=timedelta(days=25)), now=NOW, dry_run=True).snapshots == (NAMES[1],)
    assert collect(full, shop.keyring, Rule(), now=NOW, dry_run=True).snapshots == ()
    assert snapshot_names(full) == NAMES


def test_a_dry_run_says_what_would_go_and_removes_nothing(shop: Shop, full: Folder, repo: Path) -> None:
    before = {path for path in repo.rglob("*") if path.is_file()}
    dry = collect(full, shop.keyring, Rule(keep=0), now=NOW, dry_run=True)
    assert {path for path in repo.rglob("*") if path.is_file()} == before
    wet = collect(full, shop.keyring, Rule(keep=0), now=NOW, dry_run=False)
    assert (dry.snapshots, dry.packages, dry.files, dry.bytes) == (wet.snapshots, wet.packages, wet.files, wet.bytes)
    after = {path for path in repo.rglob("*") if path.is_file()}
    assert len(before) - len(after) == wet.files


def test_what_a_run_that_ended_early_has_left_goes_without_a_rule(shop: Shop, full: Folder, repo: Path) -> None:
    full.put("pool/aa/" + "a" * 64 + "/lost_1_amd64.deb", b"lost")
    full.put("dists/snapshots/20200101T000000Z/main/binary-amd64/Packages.xz", b"lost")
    full.put("robots.txt", b"the owner's own")
    done = collect(full, shop.keyring, Rule(), now=NOW, dry_run=False)
    assert (done.snapshots, done.packages, done.files) == ((), 1, 2)
    assert (repo / "robots.txt").exists()
    assert snapshot_names(full) == NAMES
    assert holds(shop, full)


def test_nothing_goes_while_something_that_stays_cannot_be_read(shop: Shop, full: Folder, repo: Path) -> None:
    index = repo / f"dists/snapshots/{NAMES[3]}/main/binary-amd64/Packages.xz"
    index.write_bytes(index.read_bytes()[:-1])
    before = {path for path in repo.rglob("*") if path.is_file()}
    with pytest.raises(IntegrityError):
        collect(full, shop.keyring, Rule(keep=0), now=NOW, dry_run=False)
    assert {path for path in repo.rglob("*") if path.is_file()} == before


def test_nothing_goes_while_another_publishes(shop: Shop, full: Folder, repo: Path) -> None:
    with Folder(repo).publishing(), pytest.raises(WorldError, match="another is publishing here"):
        collect(full, shop.keyring, Rule(keep=0), now=NOW, dry_run=False)
