# SPDX-License-Identifier: Apache-2.0
"""`zaffre lock` as a whole: a small distribution, a simulated archive, the host's apt in place of the tools tree's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.locking import DISTRIBUTION, HOST, NEEDS, Workshop, content, package, workshop
from support.repository import NOW
from support.upstreams import said
from zaffre.definition import load_distribution
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream import LockedSet, load_lock, save_lock
from zaffre.upstream.locking import lock_distribution
from zaffre.upstream.missing import missing
from zaffre.upstream.toolsets import ToolSets, tool_sets

pytestmark = NEEDS


@pytest.fixture
def shop(tmp_path: Path, key: Tsk, store: Store) -> Iterator[Workshop]:
    with workshop(tmp_path, key, store) as made:
        yield made


def test_the_first_lock(shop: Workshop, tmp_path: Path) -> None:
    done = shop.lock()
    assert done.changed
    assert content(done.lock, "tools").keys() == {"base", "mkfs"}
    assert content(done.lock, "host").keys() == {"base", "app", "libapp", "kernel-amd64"}
    # apt came from the bootstrap resolver, once; the tools that it solved did the rest
    assert [one.name for one in shop.asked] == ["seed", "tools", "tools"]
    assert content_of(shop.asked[0]) == {"base", "apt"}
    assert [one.name for one in shop.learned] == ["host"]
    assert done.lock.set("host", "amd64").users.users[0].uid == 100
    assert [one.added for one in done.diff.sets] == [True, True, True]
    assert shop.stale(done.lock) == []
    save_lock(done.lock, tmp_path / "zaffre.lock")
    assert load_lock(tmp_path / "zaffre.lock") == done.lock


def content_of(one: LockedSet) -> set[str]:
    return {package.name for package in one.packages}


def test_a_sysext_has_what_it_names_and_what_its_base_lacks(shop: Workshop) -> None:
    lock = shop.lock().lock
    assert content(lock, "check").keys() == {"app", "extra", "libextra"}
    assert lock.set("check", "amd64").packages[0] in lock.set("host", "amd64").packages


def test_a_current_lock_needs_no_network(shop: Workshop) -> None:
    lock = shop.lock().lock
    count = len(shop.mirror.requests)
    again = shop.lock(lock)
    assert not again.changed
    assert again.lock is lock
    assert len(shop.mirror.requests) == count


def test_new_versions_wait_for_update(shop: Workshop) -> None:
    lock = shop.lock().lock
    for name, more in (("app", {"Depends": "libapp"}), ("libapp", {"Source": "app"}), ("libextra", {})):
        shop.archive.add(package(name, "1.1-1", **more))
    shop.publish(date=NOW + timedelta(seconds=5))
    assert not shop.lock(lock).changed
    shop.asked.clear()
    done = shop.lock(lock, update=["libapp"])
    assert content(done.lock, "host")["app"] == content(done.lock, "check")["app"] == "1.1-1"  # one source
    assert content(done.lock, "check")["libextra"] == "1.0-1"
    assert shop.asked[0].name == "tools"  # the locked tools, and no bootstrap
    changes = {one.name: [str(change) for change in one.changes] for one in done.diff.sets}
    assert changes == {
        "tools": [],
        "check": ["app 1.0-1 -> 1.1-1"],
        "host": ["app 1.0-1 -> 1.1-1", "libapp 1.0-1 -> 1.1-1"],
    }
    assert done.lock.serial == 2
    everything = shop.lock(lock, update=[])
    assert content(everything.lock, "check")["libextra"] == "1.1-1"
    assert everything.lock.set("host", "amd64").users == lock.set("host", "amd64").users


def test_an_update_without_news_changes_nothing(shop: Workshop) -> None:
    lock = shop.lock().lock
    assert not shop.lock(lock, update=[]).changed


def test_update_of_what_is_not_locked(shop: Workshop) -> None:
    lock = shop.lock().lock
    with pytest.raises(DefinitionError) as caught:
        shop.lock(lock, update=["libap"])
    text = said(caught.value)
    assert "--update: the lock has no package, no source and no component 'libap'" in text
    assert "did you mean 'libapp'" in text


def test_a_changed_definition_is_noticed_offline_and_keeps_the_rest(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.archive.add(package("app", "1.1-1", Depends="libapp"))
    shop.publish()
    shop.write("images/host.toml", HOST.replace('["app"]', '["app", "extra"]'))
    assert shop.stale(lock) == [
        "host (amd64): the definition asks for extra, which the lock does not have",
        "check (amd64): the definition asks for other packages, suites or virtual packages than when it was locked",
    ]
    done = shop.lock(lock)
    assert content(done.lock, "host") == content(lock, "host") | {"extra": "1.0-1", "libextra": "1.0-1"}
    assert shop.stale(done.lock) == []


def test_no_lock_and_strange_locks_are_stale(shop: Workshop) -> None:
    assert shop.stale(None) == ["zaffre.lock (all): there is no lock yet"]
    lock = shop.lock().lock
    (shop.root / "images" / "check.toml").unlink()
    assert shop.stale(lock) == ["check (amd64): is in the lock, but the definition has no such image"]
    assert content(shop.lock(lock).lock, "host")
    assert shop.stale(lock.model_copy(update={"distribution": "other", "sets": lock.sets[:1]})) == [
        "zaffre.lock (all): is the lock of another distribution, 'other'",
        "host (amd64): is not in the lock",
    ]


def test_a_base_that_moved_alone_makes_its_sysext_stale(shop: Workshop) -> None:
    lock = shop.lock().lock
    host = lock.set("host", "amd64")
    moved = host.model_copy(
        update={"packages": tuple(one.model_copy(update={"version": "9"}) for one in host.packages)}
    )
    changed = lock.model_copy(update={"sets": tuple(moved if one.name == "host" else one for one in lock.sets)})
    assert shop.stale(changed) == ["check (amd64): its base 'host' has another version of app"]


def test_a_second_architecture(shop: Workshop) -> None:
    lock = shop.lock().lock
    done = shop.lock(lock, architectures=["amd64", "arm64"])
    assert content(done.lock, "host", "arm64").keys() == {"base", "app", "libapp", "kernel-arm64"}
    # its scripts cannot be run here: it starts from the ids that are known
    assert done.lock.set("host", "arm64").users == lock.set("host", "amd64").users
    assert [one.architecture for one in shop.learned] == ["amd64"]
    assert done.lock.find("tools", "arm64") is None
    again = shop.lock(done.lock)  # the architectures of the lock stay
    assert not again.changed
    assert shop.stale(done.lock) == []


def test_of_some_tools_only_the_files_are_taken(shop: Workshop) -> None:
    before = shop.lock().lock
    shop.write("zaffre.toml", DISTRIBUTION.replace('["mkfs"]', '["mkfs"]\nunpacked = ["policy"]'))
    shop.archive.add(package("policy", Depends="libpolicy"))
    shop.archive.add(package("libpolicy"))
    shop.publish()
    assert "policy" in str(shop.stale(before))
    lock = shop.lock(before).lock
    distribution = load_distribution(shop.root)
    sets = tool_sets(distribution, lock, architecture="amd64", machine="amd64")
    assert [one.name for one in sets.unpacked] == ["policy"]
    assert {"mkfs", "libpolicy"} <= {one.name for one in sets.programs}
    assert "policy" not in {one.name for one in sets.programs}
    assert {one.name for one in sets.packages} == content(lock, "tools").keys()


def test_an_image_says_what_machines_it_is_for(shop: Workshop) -> None:
    """Both are locked at once, with what it takes to make the other here: programs of this machine, files of that."""
    shop.write("images/host.toml", HOST.replace("packages", 'architectures = ["amd64", "arm64"]\npackages', 1))
    shop.write("zaffre.toml", DISTRIBUTION + '[tools.cross.arm64]\npackages = ["emulator"]\ntarget = ["loader"]\n')
    shop.archive.add(package("emulator", architecture="amd64", Depends="apt"))
    shop.archive.add(package("loader", architecture="arm64", Depends="libc"))
    shop.archive.add(package("libc", architecture="arm64"))
    shop.publish()
    lock = shop.lock().lock
    assert content(lock, "host", "arm64").keys() == {"base", "app", "libapp", "kernel-arm64"}
    assert content(lock, "check", "arm64").keys() == content(lock, "check").keys()
    assert content(lock, "tools:arm64").keys() == {"emulator", "apt"}
    assert {"loader", "libc"} <= content(lock, "tools:arm64", "arm64").keys()
    assert shop.stale(lock) == []
    distribution = load_distribution(shop.root)
    sets = tool_sets(distribution, lock, architecture="arm64", machine="amd64")
    assert {one.name for one in sets.programs} == {"base", "mkfs", "emulator", "apt"}
    assert [one.name for one in sets.unpacked] == ["loader"]
    assert (
        tool_sets(distribution, lock, architecture="amd64", machine="amd64").packages
        == lock.set("tools", "amd64").packages
    )
    only = shop.lock(lock, images=["host"], update=["app"]).lock
    assert content(only, "tools:arm64") == content(lock, "tools:arm64")
    shop.write("images/host.toml", HOST.replace("packages", 'architectures = ["amd64"]\npackages', 1))
    narrowed = shop.lock(lock, images=["host"]).lock
    assert narrowed.find("host", "arm64") is None, "it is not for that machine any more"
    assert content(narrowed, "check", "arm64") == content(lock, "check", "arm64"), "nobody asked about it"
    shop.write("images/host.toml", HOST.replace("packages", 'architectures = ["amd64", "arm64"]\npackages', 1))
    shop.write("zaffre.toml", DISTRIBUTION)
    assert shop.stale(shop.lock(lock).lock) == []
    with pytest.raises(DefinitionError) as caught:
        tool_sets(load_distribution(shop.root), lock, architecture="arm64", machine="amd64")
    assert "names no tools to make images for arm64" in str(caught.value)


def test_ids_of_an_image_that_is_for_another_machine_alone(shop: Workshop) -> None:
    """Its scripts are run by an emulator, with the tools that are locked for that."""
    shop.write("images/host.toml", HOST.replace("packages", 'architectures = ["arm64"]\npackages', 1))
    shop.write("zaffre.toml", DISTRIBUTION + '[tools.cross.arm64]\npackages = ["apt"]\n')
    asked = []

    @contextmanager
    def cross(sets: ToolSets) -> Iterator[Sandbox]:
        assert not missing(sets.packages, shop.store)
        asked.append((sets.machine, sets.emulates))
        yield Sandbox(ToolsTree(Path("/"), "host", emulates="arm64"))

    world = replace(shop.world, cross_tools=cross)
    done = lock_distribution(load_distribution(shop.root), None, world, now=NOW + timedelta(minutes=1))
    assert asked == [("amd64", "arm64")]
    assert done.lock.find("host", "amd64") is None
    assert done.lock.set("host", "arm64").users.users[0].uid == 100


def test_locked_tools_that_the_mirror_dropped_are_locked_anew(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.archive.remove("mkfs")
    shop.archive.remove("libapp")
    shop.archive.add(package("mkfs", "1.1-1"))
    shop.archive.add(package("libapp", "1.1-1", Source="app"))
    shop.publish(date=NOW + timedelta(seconds=9))
    fresh = replace_store(shop)
    done = fresh.lock(lock, update=["libapp", "mkfs"])
    assert [one.name for one in fresh.asked] == ["seed", "tools", "tools"]
    assert content(done.lock, "tools")["mkfs"] == "1.1-1"
    assert content(done.lock, "host") == content(lock, "host") | {"libapp": "1.1-1"}


def replace_store(shop: Workshop) -> Workshop:
    return replace(shop, store=Store(shop.root.parent / "empty"), asked=[], learned=[])


def test_a_kept_version_that_is_gone_moves_and_is_reported(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.archive.remove("libapp")
    shop.archive.add(package("libapp", "1.1-1", Source="app"))
    shop.publish()
    shop.write("images/host.toml", HOST.replace('["app"]', '["app", "extra"]'))
    done = shop.lock(lock)
    assert done.released[("host", "amd64")] == ("libapp",)
    assert content(done.lock, "host")["libapp"] == "1.1-1"
    assert content(done.lock, "host")["app"] == "1.0-1"


def test_an_old_release_is_refused(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.publish(date=NOW - timedelta(days=1))
    with pytest.raises(IntegrityError) as caught:
        shop.lock(lock, update=[])
    assert "the Release is older than the one that is locked" in said(caught.value)


def test_nothing_is_lost_when_the_mirror_is_down(shop: Workshop) -> None:
    shop.archive.files.clear()
    with pytest.raises(WorldError) as caught:
        shop.lock()
    assert "no mirror of 'debian' has the suite 'stable'" in said(caught.value)


def test_unknown_packages_of_an_image(shop: Workshop) -> None:
    shop.write("images/host.toml", HOST.replace('["app"]', '["ap"]'))
    with pytest.raises(DefinitionError) as caught:
        shop.lock()
    assert "host: packages: 'ap' is in no suite of the upstream for amd64" in said(caught.value)


def test_versions_of_locks_count_within_a_day(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.write("images/host.toml", HOST.replace('["app"]', '["app", "extra"]'))
    assert shop.lock(lock).lock.version == f"{NOW + timedelta(minutes=1):%Y%m%d}.2"
    tomorrow = NOW + timedelta(days=1)
    assert shop.lock(lock, now=tomorrow).lock.version == f"{tomorrow:%Y%m%d}.1"
