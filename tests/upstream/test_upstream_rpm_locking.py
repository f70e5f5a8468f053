# SPDX-License-Identifier: Apache-2.0
"""`zaffre lock` for images of both families: RPM repositories for one, a Debian archive for the other and the tools."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.repository import NOW, Archive, Deb, Mirror, keyring, signing_key
from support.rpm_shop import PLACE, RpmShop, rpm_shop
from support.rpms import Rpm, build_rpms, signed
from support.upstreams import QUICK, said
from zaffre.definition import load_distribution
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.upstream import Lock, LockedSet, load_lock, save_lock
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.fetch import DroppedError, fetch
from zaffre.upstream.locking import Locking, World, lock_distribution
from zaffre.upstream.mirrors import Mirrors, find_mirrors
from zaffre.upstream.missing import missing
from zaffre.upstream.requests import archives_of, check_lock, published_of

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        "CI" not in os.environ and not (shutil.which("apt-get") and shutil.which("bwrap")),
        reason="needs apt and bubblewrap",
    ),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the simulated tools are for amd64"),
]

DISTRIBUTION = """
[distribution]
id = "test"
name = "Test Linux"
version = "1"
[defaults]
upstream = "rpms"
[tools]
upstream = "debs"
packages = ["mkfs"]
"""
DEBS = """
family = "deb"
keyring = "keys.asc"
architectures = ["amd64"]
[[suites]]
archive = "debian"
suite = "stable"
components = ["main"]
"""
RPMS = """
family = "rpm"
keyring = "keys.asc"
architectures = ["amd64"]
[[repositories]]
archive = "rpms"
path = "main/{basearch}"
verify = "signature"
max_age_days = 30
[archives.rpms]
path = "rpms"
urls = ["https://project.example/rpms"]
"""
HOST = """
kind = "host"
packages = ["app"]
[kernel]
package = "tool"
"""
SYSEXT = """
kind = "sysext"
base = "host"
packages = ["rich"]
[[extract]]
package = "app"
paths = ["/usr/bin/app"]
"""
OTHER = """
kind = "host"
upstream = "debs"
packages = ["mkfs"]
[kernel]
package = "mkfs"
"""


@dataclass
class Workshop:
    """A distribution's directory, its archives, and a world that records what locking asks of it."""

    root: Path
    rpms: RpmShop
    debian: Mirror
    asked: list[LockedSet] = field(default_factory=list)

    def write(self, path: str, text: str) -> None:
        (self.root / path).write_text(text)

    @contextmanager
    def tools(self, one: LockedSet) -> Iterator[Sandbox]:
        self.asked.append(one)
        yield Sandbox(ToolsTree(Path("/"), "host"))

    @property
    def mirrors(self) -> Mirrors:
        distribution = load_distribution(self.root)
        return find_mirrors(
            archives_of(distribution),
            explicit=(f"debian={self.debian.url}/debian", f"rpms={self.rpms.mirror.url}/rpms"),
            environ={},
            config_home=self.root,
            apt=self.root,
            published=published_of(distribution),
        )

    def lock(self, old: Lock | None = None, **more: object) -> Locking:
        more.setdefault("now", NOW + timedelta(minutes=1))
        world = World(mirrors=self.mirrors, store=self.rpms.store, tools=self.tools, limits=QUICK)
        return lock_distribution(load_distribution(self.root), old, world, **more)  # type: ignore[arg-type]

    def acceptance(self) -> Acceptance:
        return Acceptance(
            load_distribution(self.root).upstreams.values(), self.rpms.store, now=NOW + timedelta(minutes=1)
        )

    def fetch(self, one: LockedSet) -> None:
        fetch(one.packages, self.mirrors, self.rpms.store, limits=QUICK, acceptance=self.acceptance())

    def stale(self, lock: Lock | None) -> list[str]:
        return [str(one) for one in check_lock(load_distribution(self.root), lock)]


@pytest.fixture
def shop(tmp_path: Path, key: Tsk, rpms: dict[str, bytes]) -> Iterator[Workshop]:
    root = tmp_path / "distro"
    for name in ("images", "upstreams"):
        (root / name).mkdir(parents=True)
    (root / "upstreams" / "keys.asc").write_bytes(keyring(key))
    debian = Archive()
    debian.add(Deb("base", "1.0-1", "amd64", fields={"Essential": "yes"}))
    debian.add(Deb("apt", "1.0-1", "amd64"))
    debian.add(Deb("mkfs", "1.0-1", "amd64"))
    debian.publish([key])
    with Mirror({"debian": debian}) as mirror, rpm_shop(tmp_path, key, rpms) as repository:
        shop = Workshop(root, repository, mirror)
        shop.write("zaffre.toml", DISTRIBUTION)
        shop.write("upstreams/debs.toml", DEBS)
        shop.write("upstreams/rpms.toml", RPMS)
        shop.write("images/host.toml", HOST)
        yield shop


def content(lock: Lock, name: str) -> dict[str, str]:
    return {one.name: one.version for one in lock.set(name, "amd64").packages}


def test_an_image_of_rpms_with_tools_of_debs(shop: Workshop, tmp_path: Path) -> None:
    lock = shop.lock().lock
    assert content(lock, "tools").keys() == {"base", "mkfs"}
    assert content(lock, "host") == {"app": "1.1-1", "libgreet": "1:2.2-1", "tool": "1.0-1"}
    assert [suite.key for suite in lock.suites] == [("debs", "debian", "stable"), ("rpms", "rpms", PLACE)]
    assert lock.set("host", "amd64").upstream == "rpms"
    assert shop.stale(lock) == []
    save_lock(lock, tmp_path / "zaffre.lock")
    assert load_lock(tmp_path / "zaffre.lock") == lock


def test_images_of_both_families_in_one_lock(shop: Workshop) -> None:
    shop.write("images/other.toml", OTHER)
    shop.write("images/more.toml", SYSEXT)
    lock = shop.lock().lock
    assert content(lock, "other").keys() == {"base", "mkfs"}
    assert content(lock, "more").keys() == {"app", "rich", "other-way", "plugin"}
    assert lock.set("other", "amd64").upstream == "debs"


def test_a_current_lock_needs_no_network(shop: Workshop) -> None:
    lock = shop.lock().lock
    count = len(shop.rpms.mirror.requests)
    assert shop.lock(lock).lock is lock
    assert len(shop.rpms.mirror.requests) == count


def test_new_versions_wait_for_update(shop: Workshop, tools_sandbox: Sandbox) -> None:
    lock = shop.lock().lock
    newer = [
        Rpm("app", "1.2", requires=("libgreet >= 1:2", "/usr/bin/tool")),
        Rpm("libgreet", "2.3", epoch=1, source="greet", noarch=True),
    ]
    for data in build_rpms(newer, sandbox=tools_sandbox, store=shop.rpms.store).values():
        shop.rpms.repository.add(signed(data, shop.rpms.key))
    shop.rpms.repository.publish([shop.rpms.key], date=NOW + timedelta(seconds=5))
    assert not shop.lock(lock).changed
    shop.write("images/host.toml", HOST.replace('["app"]', '["app", "nice"]'))
    assert "asks for nice" in shop.stale(lock)[0]
    added = shop.lock(lock)
    assert content(added.lock, "host") == {**content(lock, "host"), "nice": "1.0-1"}
    one = shop.lock(added.lock, update=["greet"])  # by the name of its source
    assert content(one.lock, "host") == {**content(added.lock, "host"), "libgreet": "1:2.3-1"}
    assert content(shop.lock(lock, update=[]).lock, "host")["app"] == "1.2-1"


def test_a_repository_that_is_older_than_the_lock(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.rpms.repository.publish([shop.rpms.key], date=NOW - timedelta(days=1))
    with pytest.raises(IntegrityError) as caught:
        shop.lock(lock, update=[])
    assert "repomd.xml is older than the one that is locked" in said(caught.value)


def test_fetching_checks_the_signature_of_each_package_once(shop: Workshop) -> None:
    host = shop.lock().lock.set("host", "amd64")
    assert set(missing(host.packages, shop.rpms.store, shop.acceptance())) == set(host.packages)
    shop.fetch(host)
    assert missing(host.packages, shop.rpms.store, shop.acceptance()) == ()
    shop.rpms.mirror.requests.clear()
    shop.fetch(host)
    assert shop.rpms.mirror.requests == []
    # Another keyring has to be convinced anew, of what is in the store already.
    (shop.root / "upstreams/keys.asc").write_bytes(keyring(signing_key("Other <other@test.example>")))
    with pytest.raises(IntegrityError) as caught:
        shop.fetch(host)
    assert "signed only by keys that are not in the keyring" in said(caught.value)
    assert shop.rpms.mirror.requests == []


def test_a_verdict_is_of_its_time_and_of_what_gave_it(shop: Workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    host = shop.lock().lock.set("host", "amd64")
    shop.fetch(host)
    later = Acceptance(load_distribution(shop.root).upstreams.values(), shop.rpms.store, now=NOW + timedelta(days=1))
    assert set(later.pending(host.packages)) == set(host.packages), "keys may have expired by then"
    monkeypatch.setattr("zaffre.upstream.acceptance.version", lambda _: "0.2")
    assert set(shop.acceptance().pending(host.packages)) == set(host.packages), "another OpenPGP may say otherwise"
    monkeypatch.undo()
    monkeypatch.setattr("zaffre.upstream.acceptance.source_digest", lambda package: f"{package} changed")
    assert set(shop.acceptance().pending(host.packages)) == set(host.packages)


@pytest.mark.parametrize("unsigned", [True, False])
def test_a_package_that_its_repository_lists_but_nobody_signed(shop: Workshop, *, unsigned: bool) -> None:
    built = shop.rpms.built["app-1.1-1"]
    shop.rpms.repository.add(built if unsigned else signed(built, signing_key("Stranger <stranger@test.example>")))
    shop.rpms.repository.publish([shop.rpms.key])
    host = shop.lock().lock.set("host", "amd64")
    for _ in range(2):  # that its file is in the store by now does not make it good
        with pytest.raises(IntegrityError) as caught:
            shop.fetch(host)
        message = said(caught.value)
        assert ("the package is not signed" if unsigned else "keys that are not in the keyring") in message
        assert "app 1.1-1" in message


def test_a_package_file_that_is_another_or_gone(shop: Workshop) -> None:
    host = shop.lock().lock.set("host", "amd64")
    (path,) = [one.path for one in host.packages if one.name == "app"]
    files = shop.rpms.repository.archive.files
    good = files[path]
    files[path] = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(IntegrityError) as caught:
        shop.fetch(host)
    assert "the package's file is not the one that is locked" in said(caught.value)
    del files[path]
    with pytest.raises(DroppedError) as dropped:
        shop.fetch(host)
    assert dropped.value.names == ("app",)


def test_the_tools_cannot_be_rpms(shop: Workshop) -> None:
    shop.write("zaffre.toml", DISTRIBUTION.replace('upstream = "debs"\n', ""))
    with pytest.raises(DefinitionError) as caught:
        shop.lock()
    message = said(caught.value)
    assert "tools.upstream" in message
    assert 'those of [tools] are of "deb" ones' in message
    assert "write upstream = 'debs' in [tools]" in message


def test_projects_publish_their_archives_where_no_mirror_is_known(shop: Workshop) -> None:
    distribution = load_distribution(shop.root)
    none = {"explicit": (), "environ": {}, "config_home": shop.root, "apt": shop.root}
    found = find_mirrors(archives_of(distribution), published=published_of(distribution), **none)  # type: ignore[arg-type]
    assert [source.url for source in found.sources("rpms")] == ["https://project.example/rpms"]
    assert [source.url for source in shop.mirrors.sources("rpms")] == [f"{shop.rpms.mirror.url}/rpms"]


def test_upstreams_that_share_an_archive_each_have_their_own_keys(shop: Workshop) -> None:
    """Two releases of a distribution: one archive, one key each, and neither signs for the other."""
    host = shop.lock().lock.set("host", "amd64")
    next_key = signing_key("Next <next@test.example>")
    (shop.root / "upstreams/next.asc").write_bytes(keyring(next_key))
    shop.write("upstreams/next.toml", RPMS.replace("main/", "next/").replace("keys.asc", "next.asc"))
    shop.fetch(host)
    moved = host.packages[0].model_copy(update={"suite": "next/x86_64"})
    assert shop.acceptance().pending([moved]) == (moved,)
    with pytest.raises(IntegrityError) as caught:
        shop.acceptance().accept(moved, shop.rpms.store.path(moved.digest))
    assert "keys that are not in the keyring" in said(caught.value)
    elsewhere = host.packages[0].model_copy(update={"suite": "unheard/of"})  # some key of the archive it must be
    shop.acceptance().accept(elsewhere, shop.rpms.store.path(elsewhere.digest))
