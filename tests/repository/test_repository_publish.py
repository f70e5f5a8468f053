# SPDX-License-Identifier: Apache-2.0
"""What is published, in which order, and what is left when it stops half-way."""

from __future__ import annotations

import lzma
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from support.mortal import DiesError, Mortal
from support.repository import NOW, Deb
from support.shop import NEWER, OLDER, Shop, greeting, hello
from support.upstreams import said
from zaffre.definition import load_distribution
from zaffre.errors import DefinitionError, FindingError, WorldError
from zaffre.place.folder import Folder
from zaffre.place.target import Target
from zaffre.progress import SILENT
from zaffre.repository.build import Order
from zaffre.repository.layout import snapshot_name
from zaffre.repository.overview import overview
from zaffre.repository.publish import promote, publish, refresh
from zaffre.repository.selection import select
from zaffre.repository.snapshot import Snapshot
from zaffre.repository.state import read_suite
from zaffre.repository.verify import VerifyReport, verify_repository
from zaffre.upstream.deb.control import parse_stanzas
from zaffre.upstream.pool import pool_path

pytestmark = pytest.mark.tools


def check(shop: Shop, target: Target, *, quick: bool = False) -> VerifyReport:
    return verify_repository(target, shop.keyring, channels=("dev", "stable"), now=NOW, quick=quick, progress=SILENT)


def at(shop: Shop, target: Target, channel: str = "dev") -> str | None:
    suite = read_suite(target, channel, shop.keyring, now=NOW)
    return suite.snapshot if suite is not None else None


def files_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_package_lies_below_its_digest_and_is_open_to_a_web_server(shop: Shop, target: Folder, repo: Path) -> None:
    lock = shop.lock(hello("1:2.0+x"), greeting())
    shop.publish(lock, target)
    for package in lock.set("host", "amd64").packages:
        path = repo / pool_path(package)
        assert path.parent.name == package.sha256
        assert path.stat().st_mode & 0o777 == 0o644
        folders = [folder for folder in path.parents if folder.is_relative_to(repo / "pool")]
        assert {folder.stat().st_mode & 0o777 for folder in folders} == {0o755}
    assert list((repo / "pool").rglob("hello_2.0+x_amd64.deb"))
    assert check(shop, target).ok


def test_the_same_again_writes_nothing_but_the_channel_s_date(shop: Shop, target: Folder, repo: Path) -> None:
    lock = shop.lock(hello("1.0"), greeting(), tools=[Deb("tool", architecture="amd64")])
    first = shop.publish(lock, target, now=NOW - timedelta(hours=1))
    before = files_below(repo)
    assert (first.packages, first.pool_files, first.fresh) == (3, 3, True)
    again = shop.publish(lock, target)
    assert (again.pool_files, again.index_files, again.files, again.fresh) == (0, 0, 1, False)
    after = files_below(repo)
    assert {path for path in after if after[path] != before.get(path)} == {"dists/dev/InRelease"}


def test_what_is_written_grows_with_what_has_changed(shop: Shop, target: Folder) -> None:
    many = [Deb(f"part{number}", files={"usr/share/x": f"{number}" * 4000}) for number in range(60)]
    first = shop.publish(shop.lock(*many), target)
    assert first.pool_files == 60
    changed = [Deb(f"part{number}", "2.0") for number in range(5)]
    second = shop.publish(shop.lock(*changed, *many[5:], at=NEWER), target)
    assert (second.pool_files, second.kept_files) == (5, 55)
    assert second.pool_bytes < first.pool_bytes / 10


def test_what_is_replaced_is_newer_by_the_seconds_that_http_counts(target: Folder, repo: Path) -> None:
    times = []
    for number in range(3):
        target.put("dists/dev/InRelease", str(number).encode())
        times.append(int((repo / "dists/dev/InRelease").stat().st_mtime))
    assert times == sorted(set(times))


def test_a_dry_run_says_the_same_and_writes_nothing(shop: Shop, target: Folder, repo: Path) -> None:
    lock = shop.lock(hello("1.0"), greeting())
    dry = shop.publish(lock, target, dry_run=True)
    assert not repo.exists()
    wet = shop.publish(lock, target)
    assert (dry.pool_files, dry.pool_bytes, dry.index_bytes) == (wet.pool_files, wet.pool_bytes, wet.index_bytes)
    assert dry.moved is None


def test_a_snapshot_that_lacks_a_dependency_is_refused_and_nothing_is_published(
    shop: Shop, target: Folder, repo: Path
) -> None:
    with pytest.raises(FindingError) as caught:
        shop.publish(shop.lock(hello("1.0")), target)
    text = said(caught.value)
    assert "hello needs greeting" in text
    assert not repo.exists()


def test_what_an_image_provides_is_not_lacking(shop: Shop, target: Folder) -> None:
    shop.publish(shop.lock(Deb("containerd", fields={"Depends": "runc"})), target)
    with pytest.raises(FindingError, match="lacks what its own packages need"):
        shop.publish(shop.lock(Deb("containerd", fields={"Depends": "runx"}), at=NEWER), target)


def test_packages_of_our_own_are_published_and_held_to_the_same(shop: Shop, target: Folder, tmp_path: Path) -> None:
    def file(deb: Deb) -> Path:
        path = tmp_path / f"{deb.name}.deb"
        path.write_bytes(deb.build())
        return path

    uki = Deb("acme-uki", "1.0", "amd64", fields={"Depends": "greeting"})
    lock = shop.lock(hello("1.0"), greeting())
    assert shop.publish(lock, target, order=Order(extra=(file(uki),))).packages == 3
    lonely = Deb("lonely", "1.0", "amd64", fields={"Depends": "nobody-has-this"})
    with pytest.raises(FindingError) as caught:
        shop.publish(lock, target, order=Order(extra=(file(lonely),), revision=2))
    assert "lonely" in said(caught.value)


def test_one_name_and_version_is_one_file(shop: Shop, target: Folder, repo: Path, tmp_path: Path) -> None:
    other = tmp_path / "hello.deb"
    other.write_bytes(hello("1.0", Section="other").build())
    with pytest.raises(FindingError, match=r"two different packages hello 1\.0"):
        shop.publish(shop.lock(hello("1.0"), greeting()), target, order=Order(extra=(other,)))
    assert not repo.exists()


def test_each_architecture_has_its_own_index_and_all_of_them_what_is_for_all(
    shop: Shop, target: Folder, repo: Path
) -> None:
    lock = shop.lock(hello("1.0"), greeting())
    foreign = Deb("hello", "1.0", "arm64", fields={"Depends": "greeting"})
    packages = (shop.locked(foreign), shop.locked(greeting()))
    arm = lock.sets[0].model_copy(update={"architecture": "arm64", "packages": packages})
    assert shop.publish(lock.model_copy(update={"sets": (*lock.sets, arm)}), target).packages == 3
    for architecture in ("amd64", "arm64"):
        index = repo / f"dists/snapshots/{snapshot_name(OLDER)}/main/binary-{architecture}/Packages.xz"
        text = lzma.decompress(index.read_bytes()).decode()
        assert [one["Architecture"] for one in parse_stanzas(text)] == ["all", architecture]
    assert check(shop, target).ok
    lacking = arm.model_copy(update={"packages": packages[:1]})
    with pytest.raises(FindingError) as caught:
        shop.publish(lock.model_copy(update={"sets": (*lock.sets, lacking), "created": NEWER}), target)
    assert "host (arm64)" in said(caught.value)


def test_an_image_of_rpm_packages_is_left_out_unless_it_is_asked_for(shop: Shop, target: Folder) -> None:
    distro = shop.root / "distro"
    (distro / "upstreams/rpms.toml").write_text(
        'family = "rpm"\nkeyring = "debian.asc"\narchitectures = ["amd64"]\n'
        '[[repositories]]\narchive = "rpms"\npath = "main"\nverify = "signature"\nmax_age_days = 30\n'
    )
    host = (distro / "images/host.toml").read_text()
    (distro / "images/other.toml").write_text(f'upstream = "rpms"\n{host}')
    shop.distribution = load_distribution(distro)
    lock = shop.lock(hello("1.0"), greeting())
    assert select(shop.distribution, lock).left_out == ("other",)
    assert shop.publish(lock, target).packages == 2
    with pytest.raises(DefinitionError, match="made of RPM packages"):
        select(shop.distribution, lock, ["other"])
    with pytest.raises(FindingError, match="the lock has no packages for 'host'"):
        select(shop.distribution, lock.model_copy(update={"sets": ()}), ["host"])


def test_a_snapshot_never_changes(shop: Shop, target: Folder, repo: Path) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting()), target)
    before = files_below(repo)
    with pytest.raises(FindingError, match="published already, with other contents") as caught:
        shop.publish(shop.lock(hello("1.1"), greeting()), target)
    assert f"run `zaffre repo build --to {repo} --revision 2`" in said(caught.value)
    assert files_below(repo) == before
    shop.publish(shop.lock(hello("1.1"), greeting()), target, order=Order(revision=2))
    assert at(shop, target) == snapshot_name(OLDER, 2)
    assert check(shop, target).ok


def test_what_is_told_is_a_revision_that_can_be_published(shop: Shop, target: Folder, repo: Path) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting()), target)
    shop.publish(shop.lock(hello("1.1"), greeting()), target, order=Order(revision=2))
    with pytest.raises(FindingError, match="later revision of the same lock") as later:
        shop.publish(shop.lock(hello("1.1"), greeting()), target)
    assert f"run `zaffre repo build --to {repo} --revision 2`" in said(later.value)
    assert not shop.publish(shop.lock(hello("1.1"), greeting()), target, order=Order(revision=2)).fresh
    order = Order(images=("host",), revision=2)
    with pytest.raises(FindingError, match="other contents") as taken:
        shop.publish(shop.lock(hello("1.2"), greeting()), target, order=order, channel="stable", dry_run=True)
    assert f"run `zaffre repo build --to {repo} --image host --channel stable --revision 3`" in said(taken.value)
    assert shop.publish(shop.lock(hello("1.2"), greeting()), target, order=Order(revision=3)).fresh


def test_an_older_lock_does_not_take_a_channel_back_but_a_promotion_does(shop: Shop, target: Folder) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), target)
    shop.publish(shop.lock(hello("2.0"), greeting(), at=NEWER), target)
    with pytest.raises(FindingError, match="newer snapshot") as caught:
        shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), target)
    assert "repo promote" in said(caught.value)
    moved = promote(target, shop.hand(), "stable", snapshot_name(NEWER))
    assert (moved.before, moved.goes_back) == (None, False)
    assert promote(target, shop.hand(), "stable", snapshot_name(OLDER)).goes_back
    assert at(shop, target, "stable") == snapshot_name(OLDER)
    with pytest.raises(DefinitionError, match="there is no snapshot"):
        promote(target, shop.hand(), "stable", "20200101T000000Z")
    with pytest.raises(DefinitionError, match="is not the name of a snapshot"):
        promote(target, shop.hand(), "stable", "../../etc")
    found = overview(target, shop.keyring, now=NOW)
    assert [(one.name, one.channels) for one in found.snapshots] == [
        (snapshot_name(OLDER), ("stable",)),
        (snapshot_name(NEWER), ("dev",)),
    ]
    assert found.snapshots[1].new_bytes < found.snapshots[1].bytes


def test_a_channel_is_refreshed_where_it_is_and_is_never_dated_back(shop: Shop, target: Folder) -> None:
    past = NOW - timedelta(days=30)
    shop.publish(shop.lock(hello("1.0"), greeting(), at=past), target, now=past)
    assert not check(shop, target).ok
    (moved,) = refresh(target, shop.hand(), ["dev", "stable"])
    assert (moved.channel, moved.snapshot, moved.before) == ("dev", snapshot_name(past), snapshot_name(past))
    assert check(shop, target).ok
    (again,) = refresh(target, shop.hand(), ["dev"])
    assert again.date > moved.date
    with pytest.raises(WorldError, match="in the future"):
        refresh(target, shop.hand(NOW - timedelta(hours=1)), ["dev"])


def test_whenever_it_stops_the_old_channel_is_whole_and_the_next_run_completes_it(shop: Shop, tmp_path: Path) -> None:
    old: Snapshot = shop.workshop(shop.lock(hello("1.0"), greeting(), at=OLDER)).snapshot(Order())
    new: Snapshot = shop.workshop(shop.lock(hello("2.0"), greeting("1.1"), at=NEWER)).snapshot(Order())

    def run(snapshot: Snapshot, target: Target) -> None:
        publish(snapshot, "dev", target, shop.hand(), store=shop.store, progress=SILENT, dry_run=False)

    for writes in range(40):
        folder = Folder(tmp_path / f"repo{writes}")
        run(old, folder)
        try:
            run(new, Mortal(folder, writes))
        except DiesError:
            assert at(shop, folder) == old.name
            assert check(shop, folder).ok
            run(new, folder)
            assert at(shop, folder) == new.name
            assert check(shop, folder).ok
        else:
            break
    # Two packages, two indexes and InRelease of the snapshot, one index that is new to the channel, and InRelease.
    assert writes == 7


def test_the_second_of_two_publishers_gets_a_clear_error(shop: Shop, target: Folder, repo: Path) -> None:
    lock = shop.lock(hello("1.0"), greeting())
    with target.publishing(), pytest.raises(WorldError, match="another is publishing here") as caught:
        shop.publish(lock, Folder(repo))
    assert "process" in said(caught.value)
    shop.publish(lock, target)


def test_a_publisher_that_was_killed_leaves_no_lock_and_no_parts(shop: Shop, target: Folder, repo: Path) -> None:
    program = """
import os, sys
from pathlib import Path
from zaffre.place.folder import Folder
folder = Folder(Path(sys.argv[1]))
with folder.publishing():
    class Source:
        def open(self, mode):
            os.write(1, b"x")
            import time
            time.sleep(60)
    folder.put_file("pool/aa/file.deb", Source())
"""
    process = subprocess.Popen([sys.executable, "-c", program, str(repo)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.read(1) == b"x"
    process.kill()
    process.wait()
    process.stdout.close()
    assert list(repo.rglob(".zaffre-part-*"))
    shop.publish(shop.lock(hello("1.0"), greeting()), target)
    assert not list(repo.rglob(".zaffre-part-*"))
    assert check(shop, target).ok


@pytest.mark.parametrize("damage", ["missing", "another size", "another content"])
def test_a_package_that_is_not_what_it_was_is_found(shop: Shop, target: Folder, repo: Path, damage: str) -> None:
    lock = shop.lock(hello("1.0"), greeting())
    shop.publish(lock, target)
    place = repo / pool_path(lock.set("host", "amd64").packages[0])
    words = {"missing": "it is missing", "another size": "it has 5 bytes", "another content": "another content"}[damage]
    if damage == "missing":
        place.unlink()
    else:
        place.write_bytes(b"short" if damage == "another size" else b"\0" * place.stat().st_size)
    (bad,) = [one for one in check(shop, target).checks if not one.ok]
    assert words in bad.detail
    # What can be seen without reading is seen by a quick look too, and mended when it is published again.
    assert check(shop, target, quick=True).ok == (damage == "another content")
    shop.publish(lock, target)
    assert check(shop, target).ok == (damage != "another content")


def test_what_was_put_in_the_place_of_something_else_is_found(shop: Shop, target: Folder, repo: Path) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), target)
    promote(target, shop.hand(), "stable", snapshot_name(OLDER))
    shop.publish(shop.lock(hello("2.0"), greeting(), at=NEWER), target)
    assert check(shop, target).ok
    dev, stable = repo / "dists/dev/InRelease", repo / "dists/stable/InRelease"
    good = dev.read_bytes()
    dev.write_bytes(stable.read_bytes())
    assert "of the suite 'stable', not of 'dev'" in str(check(shop, target))
    dev.write_bytes(good.replace(b"Acme", b"Acne"))
    assert "was changed or damaged" in str(check(shop, target))
    dev.write_bytes(b"Origin: Acme Linux\n")
    assert "is not signed" in str(check(shop, target))
    dev.write_bytes(good)
    for index in (repo / "dists/dev/main/binary-amd64/by-hash/SHA256").iterdir():
        index.write_bytes(index.read_bytes()[:-1])
    assert "an index is not the one that the Release names" in str(check(shop, target))


def test_a_place_without_a_repository_is_said_to_be_one(shop: Shop, target: Folder) -> None:
    with pytest.raises(DefinitionError, match="there is no repository here"):
        check(shop, target)
