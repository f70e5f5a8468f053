# SPDX-License-Identifier: Apache-2.0
"""`repository.packages`: locked as a set of its own, at the versions that servers have."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.locking import DISTRIBUTION, HOST, NEEDS, Workshop, content, package, workshop
from support.repository import NOW
from support.upstreams import said
from zaffre.definition import OWN, load_distribution
from zaffre.errors import DefinitionError
from zaffre.store import Store
from zaffre.upstream import diff_locks

pytestmark = NEEDS

SERVER = HOST.replace('"host"', '"server"')
REPOSITORY = """
[repository]
url = "https://packages.acme.example"
packages = ["extra"]
"""


@pytest.fixture
def shop(tmp_path: Path, key: Tsk, store: Store) -> Iterator[Workshop]:
    """Its server has `libextra`, which the repository's `extra` needs."""
    with workshop(tmp_path, key, store) as made:
        made.write("images/server.toml", SERVER.replace('["app"]', '["libextra"]'))
        yield made


def test_what_is_published_besides_is_a_set_of_its_own_and_leaves_the_others(shop: Workshop) -> None:
    before = shop.lock().lock
    shop.archive.add(package("libapp", "1.1-1", Source="app"))
    shop.publish(date=NOW + timedelta(seconds=5))
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    assert shop.stale(before) == ["repository (amd64): is not in the lock"]
    shop.learned.clear()
    done = shop.lock(before)
    assert content(done.lock, OWN) == {"base": "1.0-1", "extra": "1.0-1", "libextra": "1.0-1"}
    assert [one for one in done.lock.sets if one.name != OWN] == list(before.sets)
    assert [one.name for one in diff_locks(before, done.lock).sets if one] == [OWN]
    assert not shop.learned  # nobody starts it, so it has no users
    assert shop.stale(done.lock) == []
    assert not shop.lock(done.lock).changed


def test_it_stays_when_only_an_image_is_locked_and_goes_with_its_words(shop: Workshop) -> None:
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    lock = shop.lock().lock
    shop.write("images/host.toml", HOST.replace('["app"]', '["app", "extra"]'))
    assert shop.lock(lock, images=["host"]).lock.find(OWN, "amd64") == lock.find(OWN, "amd64")
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY.replace('packages = ["extra"]', ""))
    assert "repository (amd64): is in the lock, but [repository] names no packages" in shop.stale(lock)
    assert shop.lock(lock).lock.find(OWN, "amd64") is None


def test_it_has_the_versions_of_servers_and_follows_them(shop: Workshop) -> None:
    lock = shop.lock().lock
    for name, more in (("libextra", {}), ("extra", {"Depends": "libextra"})):
        shop.archive.add(package(name, "1.1-1", **more))
    shop.publish(date=NOW + timedelta(seconds=5))
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    lock = shop.lock(lock).lock
    assert content(lock, OWN) == {"base": "1.0-1", "extra": "1.0-1", "libextra": "1.0-1"}
    server = shop.lock(lock, images=["server"], update=["libextra"]).lock
    assert content(server, OWN)["libextra"] == "1.0-1"
    assert shop.stale(server) == ["repository (amd64): a server has another version of libextra"]
    assert content(shop.lock(server).lock, OWN)["libextra"] == "1.1-1"
    assert content(shop.lock(lock, update=["libextra"]).lock, OWN)["libextra"] == "1.1-1"


def test_what_cannot_be_beside_a_server_is_refused_with_what_moves_both(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.archive.add(package("libextra", "1.1-1"))
    shop.archive.remove("extra")
    shop.archive.add(package("extra", "1.1-1", Depends="libextra (= 1.1-1)"))
    shop.publish(date=NOW + timedelta(seconds=5))
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    with pytest.raises(DefinitionError) as caught:
        shop.lock(lock)
    assert "libextra: a server has 1.0-1, now there is 1.1-1" in said(caught.value)
    assert "run `zaffre lock --update libextra`" in said(caught.value)
    moved = shop.lock(lock, update=["libextra"]).lock
    assert content(moved, OWN)["libextra"] == content(moved, "server")["libextra"] == "1.1-1"


def test_its_names_are_checked_like_those_of_an_image(shop: Workshop) -> None:
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY.replace('["extra"]', '["extar"]'))
    with pytest.raises(DefinitionError) as caught:
        shop.lock()
    assert "repository: packages: 'extar' is in no suite of the upstream for amd64" in said(caught.value)


def test_no_image_can_have_the_name_of_another_set(shop: Workshop) -> None:
    for name in ("repository", "tools"):
        shop.write(f"images/{name}.toml", HOST)
    with pytest.raises(DefinitionError) as caught:
        load_distribution(shop.root)
    text = said(caught.value)
    assert "images/repository.toml: 'repository' is what the packages of [repository] are called" in text
    assert "images/tools.toml: 'tools' is what the packages of [tools] are called" in text
