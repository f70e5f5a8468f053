# SPDX-License-Identifier: Apache-2.0
"""`repository.sources`: the sources of all that is given on, locked by their digests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.locking import DISTRIBUTION, NEEDS, Workshop, content, package, workshop
from support.repository import NOW, native_source
from support.upstreams import said
from zaffre.definition import load_distribution
from zaffre.errors import DefinitionError
from zaffre.store import Store
from zaffre.upstream import Lock, lock_text, parse_lock

pytestmark = NEEDS

REPOSITORY = '[repository]\nurl = "https://packages.acme.example"\nsources = true\n'
OF_ALL = ("apt", "app", "base", "extra", "kernel-amd64", "libextra", "mkfs")


@pytest.fixture
def shop(tmp_path: Path, key: Tsk, store: Store) -> Iterator[Workshop]:
    """An archive that has the sources of all its packages; a part of `glue` is in `app`."""
    with workshop(tmp_path, key, store) as made:
        for name in OF_ALL:
            made.archive.add_source(native_source(name, "1.0-1", {"x": name}))
        made.archive.add_source(native_source("glue", "3", {"x": "glue"}))
        made.archive.remove("app")
        made.archive.add(package("app", Depends="libapp", **{"Built-Using": "glue (= 3)"}))
        made.publish()
        yield made


def named(lock: Lock) -> dict[str, str]:
    return {one.name: one.version for one in lock.sources}


def test_each_source_once_those_that_parts_are_of_too(shop: Workshop) -> None:
    before = shop.lock().lock
    assert before.sources == ()
    assert '"sources"' not in lock_text(before)
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    (reason,) = shop.stale(before)
    assert reason.startswith("sources (all): the lock does not have the source of app 1.0-1, base 1.0-1")
    done = shop.lock(before)
    assert done.lock.sets == before.sets
    assert named(done.lock) == {"glue": "3"} | {name: "1.0-1" for name in OF_ALL if name != "apt"}
    (app,) = (one for one in done.lock.sources if one.name == "app")
    assert sorted(Path(file.path).suffix for file in app.files) == [".dsc", ".xz"]
    assert parse_lock(lock_text(done.lock)) == done.lock
    assert shop.stale(done.lock) == []


def test_what_is_locked_is_not_looked_for_again(shop: Workshop) -> None:
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    lock = shop.lock().lock
    asked = len(shop.mirror.requests)
    assert shop.lock(lock).lock is lock
    assert len(shop.mirror.requests) == asked
    shop.archive.add(package("libextra", "1.1-1"))
    shop.archive.add_source(native_source("libextra", "1.1-1", {"x": "newer"}))
    shop.publish(date=NOW + timedelta(seconds=5))
    moved = shop.lock(lock, update=["libextra"]).lock
    assert named(moved) == named(lock) | {"libextra": "1.1-1"}
    assert len(moved.sources) == len(lock.sources)
    only = shop.lock(lock, images=["host"])
    assert only.lock.sources == lock.sources


def test_a_source_that_is_gone_is_told_with_what_locks_anew(shop: Workshop) -> None:
    lock = shop.lock().lock
    shop.archive.add(package("libextra", "1.1-1"))
    shop.archive.remove_source("libextra")
    shop.archive.add_source(native_source("libextra", "1.1-1", {"x": "newer"}))
    shop.publish(date=NOW + timedelta(seconds=5))
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    with pytest.raises(DefinitionError) as caught:
        shop.lock(lock)
    assert "libextra 1.0-1: libextra" in said(caught.value)
    assert "run `zaffre lock --update libextra`" in said(caught.value)
    assert content(shop.lock(lock, update=["libextra"]).lock, "check")["libextra"] == "1.1-1"


def test_they_go_when_nobody_asks_for_them(shop: Workshop) -> None:
    shop.write("zaffre.toml", DISTRIBUTION + REPOSITORY)
    lock = shop.lock().lock
    shop.write("zaffre.toml", DISTRIBUTION)
    assert shop.stale(lock) == ["sources (all): source packages are in the lock, and [repository] asks for none"]
    assert shop.lock(lock).lock.sources == ()
    assert not load_distribution(shop.root).gives_sources
