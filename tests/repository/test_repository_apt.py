# SPDX-License-Identifier: Apache-2.0
"""Real apt, in a clean root with our key alone: what it takes from a repository of ours, and what it refuses."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from apt_client import AptClient

from support.repository import NOW, Deb, signing_key
from support.shop import NEWER, OLDER, Shop, greeting, hello, served
from support.upstreams import said
from zaffre.definition import OWN, load_distribution
from zaffre.errors import FindingError
from zaffre.place.folder import Folder
from zaffre.repository.build import Order
from zaffre.repository.layout import snapshot_name, snapshot_suite
from zaffre.upstream.pool import pool_path

pytestmark = pytest.mark.tools

VERSION = "usr/share/hello/version"


@pytest.fixture
def url(repo: Path) -> Iterator[str]:
    repo.mkdir()
    with served(repo) as url:
        yield url


@pytest.fixture
def follower(machine: AptClient, shop: Shop, url: str) -> Iterator[AptClient]:
    """The machine, following `dev`; what a test has installed is taken away after it."""
    machine.follow(shop.distribution, shop.key.certificate.keyring, url)
    yield machine
    machine.purge("hello", "greeting")


def test_it_installs_and_upgrades_from_one_snapshot_to_the_next(
    follower: AptClient, shop: Shop, target: Folder
) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), target)
    done = follower.update()
    assert done.code == 0, done.text
    assert "W:" not in done.text, done.text
    done = follower.install("hello")
    assert done.code == 0, done.text
    assert follower.file(VERSION) == "1.0"
    published = shop.publish(shop.lock(hello("2.0"), greeting(), at=NEWER), target)
    assert (published.pool_files, published.kept_files) == (1, 1)
    updated = follower.update()
    assert updated.code == 0, updated.text
    done = follower.upgrade()
    assert done.code == 0, done.text
    assert follower.file(VERSION) == "2.0", updated.text + done.text


def test_a_snapshot_stays_what_it_was(follower: AptClient, shop: Shop, target: Folder, url: str) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), target)
    shop.publish(shop.lock(hello("2.0"), greeting(), at=NEWER), target)
    suite = snapshot_suite(snapshot_name(OLDER))
    follower.follow(shop.distribution, shop.key.certificate.keyring, url, suite)
    done = follower.update()
    assert done.code == 0, done.text
    assert "W:" not in done.text, done.text
    assert follower.candidate("hello") == "1.0"
    assert follower.install("hello").code == 0
    assert follower.file(VERSION) == "1.0"


def test_one_file_is_all_that_a_machine_needs(machine: AptClient, shop: Shop, target: Folder, url: str) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting()), target)
    machine.follow(shop.distribution, b"", url)
    assert machine.update().code != 0
    text = shop.distribution.apt_source("dev", shop.key.certificate.armoured)
    own = machine.root / "etc/apt/sources.list.d/own.sources"
    own.write_text(text.replace(shop.distribution.own_repository.url, url))
    done = machine.update()
    assert done.code == 0, done.text
    assert "W:" not in done.text, done.text
    assert machine.candidate("hello") == "1.0"


def test_what_no_image_has_is_published_besides(follower: AptClient, shop: Shop, target: Folder) -> None:
    main = shop.root / "distro/zaffre.toml"
    main.write_text(main.read_text() + 'packages = ["hello"]\n')
    shop.distribution = load_distribution(main.parent)
    lock = shop.lock(Deb("app"))
    with pytest.raises(FindingError, match="the lock has no packages for 'repository'"):
        shop.publish(lock, target)
    besides = lock.sets[0].model_copy(update={"name": OWN, "packages": (shop.locked(hello("1.0")),)})
    with pytest.raises(FindingError) as caught:
        shop.publish(lock.model_copy(update={"sets": (*lock.sets, besides)}), target)
    assert "repository (amd64):\n  the packages of 'repository' cannot be installed together" in said(caught.value)
    assert "hello needs greeting (>= 1)" in said(caught.value)
    besides = besides.model_copy(update={"packages": (*besides.packages, shop.locked(greeting()))})
    lock = lock.model_copy(update={"sets": (*lock.sets, besides)})
    assert shop.publish(lock, target, order=Order(images=("host",)), dry_run=True).packages == 1
    assert shop.publish(lock, target).packages == 3
    assert follower.update().code == 0
    done = follower.install("hello")
    assert done.code == 0, done.text
    assert follower.file(VERSION) == "1.0"


def test_a_tampered_release_is_refused(follower: AptClient, shop: Shop, target: Folder, repo: Path) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting()), target)
    release = repo / "dists/dev/InRelease"
    release.write_bytes(release.read_bytes().replace(b"Label: Acme Linux", b"Label: Evil Linux"))
    done = follower.update()
    assert done.code != 0, done.text
    assert "InRelease" in done.text
    assert follower.candidate("hello") == ""


def test_another_key_is_refused(machine: AptClient, shop: Shop, target: Folder, url: str) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting()), target)
    machine.follow(shop.distribution, bytes(signing_key().extract_certificate()), url)
    done = machine.update()
    assert done.code != 0, done.text
    assert "NO_PUBKEY" in done.text or "Missing key" in done.text, done.text
    assert machine.candidate("hello") == ""


def test_a_tampered_index_is_refused(follower: AptClient, shop: Shop, target: Folder, repo: Path) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting()), target)
    (index,) = (repo / "dists/dev/main/binary-amd64/by-hash/SHA256").iterdir()
    data = bytearray(index.read_bytes())
    data[len(data) // 2] ^= 1
    index.write_bytes(data)
    done = follower.update()
    assert done.code != 0, done.text
    assert "Hash Sum mismatch" in done.text, done.text
    assert follower.candidate("hello") == ""


def test_a_tampered_package_is_refused(follower: AptClient, shop: Shop, target: Folder, repo: Path) -> None:
    lock = shop.lock(hello("1.0"), greeting())
    shop.publish(lock, target)
    package = next(one for one in lock.set("host", "amd64").packages if one.name == "hello")
    place = repo / pool_path(package)
    place.write_bytes(hello("1.0", Section="evil").build()[: package.size].ljust(package.size, b"\0"))
    assert follower.update().code == 0
    done = follower.install("hello")
    assert done.code != 0, done.text
    assert "Hash Sum mismatch" in done.text, done.text
    assert follower.file(VERSION) is None


def test_a_channel_that_nobody_refreshed_is_refused(follower: AptClient, shop: Shop, target: Folder) -> None:
    days = shop.distribution.own_repository.valid_days
    lock = shop.lock(hello("1.0"), greeting(), at=NOW - timedelta(days=days + 2))
    shop.publish(lock, target, now=NOW - timedelta(days=days, hours=1))
    done = follower.update()
    assert done.code != 0, done.text
    assert "expired" in done.text or "not valid anymore" in done.text, done.text
    assert follower.candidate("hello") == ""


def test_a_channel_that_was_rolled_back_is_not_believed(
    follower: AptClient, shop: Shop, target: Folder, repo: Path
) -> None:
    shop.publish(shop.lock(hello("1.0"), greeting(), at=OLDER), target, now=NOW - timedelta(hours=2))
    release = repo / "dists/dev/InRelease"
    old = release.read_bytes()
    shop.publish(shop.lock(hello("2.0"), greeting(), at=NEWER), target)
    assert follower.update().code == 0
    assert follower.candidate("hello") == "2.0"
    release.write_bytes(old)
    follower.update()
    assert follower.candidate("hello") == "2.0"
