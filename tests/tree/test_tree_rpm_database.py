# SPDX-License-Identifier: Apache-2.0
"""rpm's database: where a root's own rpm looks for it, readable where nothing can be written, and what it tells."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from rpm_headers import file, folder, header_bytes

from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.tree.inventory import inventory_of
from zaffre.tree.rootfs import make_link, write_text
from zaffre.tree.rpm.database import FILE, OLD_PLACE, PLACE, rpm_packages, settle, target_place

CONTAINERD = header_bytes("containerd", [folder("/usr/bin"), file("/usr/bin/containerd"), file("/usr/bin/pruned")])
KERNEL = header_bytes("kernel", [file("/lib/modules/6/kernel/a.ko.zst"), file("/boot/initrd")], ghosts=["/boot/initrd"])
KEY = header_bytes("gpg-pubkey")


def database(root: Path, headers: Sequence[bytes], *, log: bool = False) -> Path:
    """As rpm leaves it: in WAL mode, with what it has beside it."""
    folder = root / PLACE
    folder.mkdir(parents=True)
    with closing(sqlite3.connect(folder / FILE)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        connection.executemany("INSERT INTO Packages (blob) VALUES (?)", [(one,) for one in headers])
        connection.commit()
    for name in (f"{FILE}-shm", ".rpm.lock"):
        (folder / name).touch()
    (folder / f"{FILE}-wal").write_bytes(b"x" if log else b"")
    return folder / FILE


def test_a_settled_database_is_one_file_that_a_read_only_root_can_have(tmp_path: Path) -> None:
    path = database(tmp_path, [CONTAINERD, KEY])
    settle(tmp_path)
    assert [one.name for one in path.parent.iterdir()] == [FILE]
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM Packages").fetchone() == (2,)


def test_a_database_that_was_not_closed_is_an_error(tmp_path: Path) -> None:
    database(tmp_path, [CONTAINERD], log=True)
    with pytest.raises(WorldError, match="did not close"):
        settle(tmp_path)


def test_something_else_is_no_database(tmp_path: Path) -> None:
    database(tmp_path, []).write_bytes(b"Berkeley")
    with pytest.raises(WorldError, match="no database"):
        settle(tmp_path)


@pytest.mark.parametrize("kind", ["link", "pipe", "folder", "nothing"])
def test_what_a_scriptlet_put_in_the_place_of_the_database_is_not_written(tmp_path: Path, kind: str) -> None:
    root, other = tmp_path / "root", tmp_path / "other"
    path = database(root, [CONTAINERD])
    path.rename(other)
    before = other.read_bytes()
    match kind:
        case "link":
            path.symlink_to(other)
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
    with pytest.raises(IntegrityError, match=r"database|else|opened"):
        settle(root)
    assert other.read_bytes() == before


@pytest.mark.parametrize(
    ("files", "place"),
    [
        ({}, PLACE),
        ({"usr/lib/rpm/macros": "%_dbpath\t\t%{_var}/lib/rpm\n"}, OLD_PLACE),
        ({"usr/lib/rpm/macros": "%_dbpath %{_usr}/lib/sysimage/rpm\n%_db_backend sqlite\n"}, PLACE),
        (
            {"usr/lib/rpm/macros": "%_dbpath /var/lib/rpm\n", "usr/lib/rpm/macros.d/macros.x": f"%_dbpath /{PLACE}\n"},
            PLACE,
        ),
        ({"usr/lib/rpm/macros": f"%_dbpath /{PLACE}\n", "etc/rpm/macros": "%_dbpath /srv/rpm\n"}, "srv/rpm"),
    ],
)
def test_the_roots_own_macros_say_where_it_belongs(tmp_path: Path, files: dict[str, str], place: str) -> None:
    path = database(tmp_path, [CONTAINERD])
    for name, text in files.items():
        write_text(tmp_path, name, text)
    assert target_place(tmp_path) == place
    settle(tmp_path)
    assert (tmp_path / place / FILE).is_file()
    assert path.exists() == (place == PLACE)
    assert [one.name for one in rpm_packages(tmp_path)] == ["containerd"]


@pytest.mark.parametrize(
    ("text", "why"),
    [("%_db_backend ndb\n", "in the format ndb"), ("%_dbpath %{getconfdir}/db\n", "a macro that Zaffre does not know")],
)
def test_what_cannot_be_written_is_said(tmp_path: Path, text: str, why: str) -> None:
    write_text(tmp_path, "usr/lib/rpm/macros", text)
    with pytest.raises(DefinitionError, match=why):
        target_place(tmp_path)


def test_the_inventory_knows_whose_the_files_are(tmp_path: Path) -> None:
    database(tmp_path, [KEY, CONTAINERD, KERNEL])
    settle(tmp_path)
    write_text(tmp_path, "usr/bin/containerd", "12345")
    write_text(tmp_path, "usr/lib/modules/6/kernel/a.ko", "123")
    write_text(tmp_path, "boot/initrd", "1")
    write_text(tmp_path, "etc/own", "12")
    make_link(tmp_path, "lib", "usr/lib")
    assert [one.name for one in rpm_packages(tmp_path)] == ["containerd", "kernel"]
    found = inventory_of(tmp_path)
    assert [(one.name, one.version, one.architecture, one.files, one.bytes) for one in found.packages] == [
        ("containerd", "1.0-1", "amd64", 1, 5),
        ("kernel", "1.0-1", "amd64", 1, 3),
    ]
    size = (tmp_path / PLACE / FILE).stat().st_size
    assert (found.unpackaged.files, found.unpackaged.bytes) == (3, 1 + 2 + size)


def test_a_root_without_a_database_has_no_packages(tmp_path: Path) -> None:
    assert list(rpm_packages(tmp_path)) == []


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS hnum, x'00' AS blob FROM n"


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE Other (x)",
        f"CREATE VIEW Packages AS {ENDLESS} WHERE i < 0",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, other BLOB)",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob); INSERT INTO Packages (blob) VALUES (5)",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob); INSERT INTO Packages (blob) VALUES ('text')",
        "CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob); INSERT INTO Packages (blob) VALUES (x'0000')",
        "CREATE TABLE Packages (hnum INTEGER, blob AS (zeroblob(900000000))); INSERT INTO Packages (hnum) VALUES (1)",
    ],
)
def test_a_database_that_rpm_did_not_write_is_refused(tmp_path: Path, schema: str) -> None:
    (tmp_path / PLACE).mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / PLACE / FILE)) as connection:
        connection.executescript(schema)
    with pytest.raises(IntegrityError, match="malformed, or hostile"):
        list(rpm_packages(tmp_path))


def test_a_database_that_takes_more_work_than_any_of_rpms_is_refused(tmp_path: Path) -> None:
    """Without a key, all of its rows have to be sorted before there is a first one."""
    (tmp_path / PLACE).mkdir(parents=True)
    with closing(sqlite3.connect(tmp_path / PLACE / FILE)) as connection:
        connection.execute("CREATE TABLE Packages (hnum INTEGER, blob)")
        connection.execute(f"INSERT INTO Packages SELECT * FROM ({ENDLESS} LIMIT 600000)")
        connection.commit()
    with pytest.raises(IntegrityError) as caught:
        list(rpm_packages(tmp_path))
    assert "interrupted" in (caught.value.details or "")


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / PLACE).mkdir(parents=True)
    (tmp_path / PLACE / FILE).write_bytes(b"Berkeley" * 1000)
    with pytest.raises(IntegrityError, match="malformed, or hostile"):
        list(rpm_packages(tmp_path))


def test_a_header_that_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    database(tmp_path, [header_bytes("bad", [file("/usr/bin/x")], sizes=[1, 2])])
    settle(tmp_path)
    with pytest.raises(IntegrityError, match="malformed, or hostile"):
        list(rpm_packages(tmp_path))


@pytest.mark.parametrize("kind", ["pipe", "folder", "large"])
def test_macros_that_are_no_plain_small_file_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "usr/lib/rpm/macros.d/macros.bad"
    path.parent.mkdir(parents=True)
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "large":
            path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(IntegrityError, match=r"a file should be|more than 1048576 bytes"):
        target_place(tmp_path)
