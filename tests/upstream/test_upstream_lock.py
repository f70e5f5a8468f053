# SPDX-License-Identifier: Apache-2.0
"""The lock file: its text, its mistakes, its differences."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from pydantic import ValidationError

from support.upstreams import said
from zaffre.errors import DefinitionError, FindingError
from zaffre.upstream import (
    Group,
    Lock,
    LockedPackage,
    LockedSet,
    LockedSuite,
    User,
    Users,
    diff_locks,
    load_lock,
    lock_text,
    parse_lock,
    save_lock,
)

WHEN = datetime(2026, 11, 22, 9, 47, 27, tzinfo=UTC)


def package(name: str, version: str = "1.0-1", **changes: object) -> LockedPackage:
    facts: dict[str, object] = {
        "name": name,
        "version": version,
        "architecture": "amd64",
        "sha256": "ab" * 32,
        "size": 1000,
        "path": f"pool/main/{name[0]}/{name}_{version}.deb",
        "suite": "stable",
        "archive": "debian",
        "source": name,
        "source_version": version,
    }
    return LockedPackage.model_validate(facts | changes)


def lock(*packages: LockedPackage, name: str = "host", users: Users | None = None, serial: int = 1) -> Lock:
    suite = LockedSuite(upstream="debian", archive="debian", suite="stable", release_sha256="12" * 32, date=WHEN)
    one = LockedSet(
        name=name,
        architecture="amd64",
        upstream="debian",
        request="cd" * 32,
        users=users or Users(),
        packages=packages,
    )
    return Lock(distribution="test", created=WHEN, serial=serial, suites=(suite,), sets=(one,))


def test_text_is_canonical_and_one_package_a_line() -> None:
    users = Users(users=(User(name="b", uid=2, gid=2), User(name="a", uid=1, gid=1)), groups=(Group(name="a", gid=1),))
    one = lock(package("b"), package("a"), users=users)
    two = lock(package("a"), package("b"), users=Users(users=users.users[::-1], groups=users.groups))
    text = lock_text(one)
    assert text == lock_text(two)
    assert lock_text(parse_lock(text)) == text
    assert len([line for line in text.splitlines() if '"name": "a", "version": "1.0-1"' in line]) == 1
    assert json.loads(text)["sets"][0]["packages"][0]["name"] == "a"
    assert text.isascii()
    changed = lock_text(lock(package("a", "2.0-1"), package("b"), users=users))
    differing = [(old, new) for old, new in zip(text.splitlines(), changed.splitlines(), strict=True) if old != new]
    assert len(differing) == 1


def test_times_are_kept_in_utc() -> None:
    east = timezone(timedelta(hours=2))
    one = lock(package("a"))
    moved = one.model_copy(update={"created": WHEN.astimezone(east)})
    assert '"created": "2026-11-22T09:47:27Z"' in lock_text(Lock.model_validate(moved.model_dump()))
    with pytest.raises(ValidationError):
        LockedSuite(upstream="a", archive="a", suite="a", release_sha256="0" * 64, date=datetime(2026, 1, 1))  # noqa: DTZ001
    assert one.version == "20261122.1"
    assert one.epoch == int(WHEN.timestamp())


def test_saving_replaces_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "zaffre.lock"
    assert load_lock(path) is None
    one = lock(package("a"))
    save_lock(one, path)
    assert load_lock(path) == one
    assert path.stat().st_mode & 0o777 == 0o644
    path.with_name("full").mkdir()
    with pytest.raises(OSError, match="directory"):
        save_lock(one, tmp_path / "full")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["full", "zaffre.lock"]


def test_digests_say_what_is_locked() -> None:
    one = lock(package("a"))
    assert one.sets[0].digest == one.sets[0].model_copy(update={"request": "00" * 32}).digest
    assert one.sets[0].digest != lock(package("a", "2")).sets[0].digest
    known = Users(users=(User(name="a", uid=1, gid=1),))
    assert one.sets[0].digest != lock(package("a"), users=known).sets[0].digest


def test_a_set_that_is_not_there() -> None:
    with pytest.raises(FindingError) as caught:
        lock(package("a")).set("host", "arm64")
    assert "the lock has no packages for 'host' on arm64" in said(caught.value)


TEXT = lock_text(lock(package("a")))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the lock file is not JSON"),
        (TEXT[:200], "the lock file is not JSON"),
        ("<<<<<<< HEAD\n" + TEXT, "the lock file holds an unfinished merge"),
        ("[" * 100_000, "the lock file is not JSON"),
        (TEXT.replace('"format": 1', '"format": 7'), "the lock file has format 7, this program reads format 1"),
        (TEXT.replace('"serial": 1', '"serial": 0'), "serial: Input should be greater than or equal to 1"),
        (TEXT.replace('"serial"', '"seriall"'), "seriall: Extra inputs are not permitted"),
        (TEXT.replace("ab" * 32, "AB" * 32), "sets.0.packages.0.sha256: "),
        (TEXT.replace("pool/main/a/", "pool/../../"), "without '..'"),
        (TEXT.replace('"pool/', '"/pool/'), "a path below the root of the archive"),
        (TEXT.replace('"name": "a"', '"name": "a b"'), "sets.0.packages.0.name: "),
    ],
)
def test_mistakes_in_the_file(text: str, message: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_lock(text)
    shown = said(caught.value)
    assert message in shown
    assert "zaffre.lock: the lock file" in shown


def test_a_package_twice() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_lock(lock_text(lock(package("a"), package("a", "2"), package("b"))))
    assert "names a package of 'host' twice: a" in said(caught.value)


def test_not_text(tmp_path: Path) -> None:
    path = tmp_path / "zaffre.lock"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(DefinitionError) as caught:
        load_lock(path)
    assert "is not UTF-8 text" in said(caught.value)


def test_differences() -> None:
    old = lock(package("gone"), package("moved"), package("same"), package("rebuilt"))
    new = lock(
        package("new", size=500),
        package("moved", "2", size=4000),
        package("same"),
        package("rebuilt", sha256="00" * 32),
    )
    (one,) = diff_locks(old, new).sets
    assert [str(change) for change in one.changes] == [
        "- gone 1.0-1",
        "moved 1.0-1 -> 2",
        "+ new 1.0-1",
        "rebuilt 1.0-1 (another file)",
    ]
    assert [change.size for change in one.changes] == [-1000, 3000, 500, 0]
    assert (one.old_size, one.new_size, one.packages) == (4000, 6500, 4)
    assert not diff_locks(old, old)
    (fresh,) = diff_locks(None, new).sets
    assert fresh.added
    (renamed, dropped) = diff_locks(old, lock(package("a"), name="edge")).sets
    assert (renamed.name, renamed.added, dropped.removed) == ("edge", True, True)
    known = Users(users=(User(name="a", uid=1, gid=1),))
    (ids,) = diff_locks(lock(package("a")), lock(package("a"), users=known)).sets
    assert ids
    assert ids.users_changed
