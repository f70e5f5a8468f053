# SPDX-License-Identifier: Apache-2.0
"""rpm's database of a root: where the root's own rpm looks for it, in a form that a read-only root can have.

One SQLite file since rpm 4.16 (`%_db_backend sqlite`), in the folder `%_dbpath`: /usr/lib/sysimage/rpm in Fedora and
wherever nobody says otherwise, /var/lib/rpm in others. Each row of `Packages` is a header without its magic.

A root whose scriptlets have run, or one from elsewhere, may hold anything in those places. Reading it is bounded, and
what is no database of rpm's is an IntegrityError.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.tree.installed import InstalledPackage
from zaffre.tree.rootfs import inside, make_folder, open_regular, remove
from zaffre.tree.rpm.plan import packaged_paths
from zaffre.upstream.rpm.header import Header, Tag, stored_header
from zaffre.upstream.rpm.package import identity

PLACE = "usr/lib/sysimage/rpm"
OLD_PLACE = "var/lib/rpm"
FILE = "rpmdb.sqlite"

_LEFT_BY_RPM = (f"{FILE}-shm", f"{FILE}-wal", ".rpm.lock")
_KEYS = "gpg-pubkey"
_MACRO = re.compile(r"^%(?P<name>_dbpath|_db_backend)[ \t]+(?P<value>\S+)", re.MULTILINE)
_EXPANDED = {"%{_var}": "/var", "%{_usr}": "/usr", "%{_prefix}": "/usr"}
# https://www.sqlite.org/fileformat2.html#file_format_version_numbers: 2 is WAL, 1 a rollback journal.
_SQLITE = b"SQLite format 3\0"
_VERSIONS = 18
_ROLLBACK = b"\1\1"
_MOST_MACROS = 1 << 20
_MOST_PACKAGES = 100_000
_MOST_HEADER_BYTES = 256 << 20
_STEPS = 100_000
_MOST_STEPS = 20 * _STEPS
"""Of SQLite's virtual machine; a plain read takes less than ten for a package."""


def target_place(root: Path) -> str:
    """The folder in which the root's own rpm looks, PLACE when it has none.

    Raises DefinitionError for a database of another format.
    """
    found = _macros(root)
    backend = found.get("_db_backend", "sqlite")
    if backend != "sqlite":
        raise DefinitionError(
            f"the distribution's rpm keeps its database in the format {backend}, which Zaffre does not write",
            where="packages",
            resolution="use a distribution whose rpm says `%_db_backend sqlite`",
        )
    place = found["_dbpath"]
    if "%" in place or not place.startswith("/"):
        raise DefinitionError(
            f"the distribution's rpm keeps its database in {place}, a macro that Zaffre does not know",
            where="packages",
            resolution="please report it, with the version of the distribution",
        )
    return place.strip("/")


def _macros(root: Path) -> Mapping[str, str]:
    """What the root's macro files say of the database, as far as it can be expanded here."""
    found = {"_dbpath": f"/{PLACE}"}
    for path in _macro_files(root):
        for match in _MACRO.finditer(_macro_text(root, path)):
            value = match["value"]
            for macro, path_of_it in _EXPANDED.items():
                value = value.replace(macro, path_of_it)
            found[match["name"]] = value
    return found


def _macro_text(root: Path, path: str) -> str:
    try:
        with open_regular(root, path) as file:
            data = file.read(_MOST_MACROS + 1)
    except FileNotFoundError:
        return ""
    if len(data) > _MOST_MACROS:
        raise IntegrityError(f"a file of rpm's macros has more than {_MOST_MACROS} bytes", where=f"/{path}")
    return data.decode("utf-8", "surrogateescape")


def _macro_files(root: Path) -> Iterator[str]:
    """In the order in which rpm reads them, later ones winning (rpm-macrofile(7))."""
    yield "usr/lib/rpm/macros"
    for folder, pattern in (("usr/lib/rpm/macros.d", "macros.*"), ("etc/rpm", "macros.*")):
        place = inside(root, folder)
        if place.is_dir():
            yield from (f"{folder}/{path.name}" for path in sorted(place.glob(pattern)))
    yield "etc/rpm/macros"


def settle(root: Path) -> None:
    """Bring the database, which rpm has just closed, to its place, and let it be read where nothing can be written.

    SQLite opens a database in WAL mode only where it can write beside it. Nothing is in the log of a database
    that was closed, so the mode is two bytes. rpm itself goes back to WAL when it next writes. Scriptlets have run
    in the root: raises IntegrityError for anything but a file in its place, a link out of the root among them.
    """
    folder = inside(root, PLACE)
    log = folder / f"{FILE}-wal"
    if log.is_file() and log.stat().st_size:
        raise WorldError("rpm did not close its database", where=f"/{PLACE}")
    for name in _LEFT_BY_RPM:
        remove(folder / name)
    with _opened(root, f"{PLACE}/{FILE}") as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            raise WorldError("rpm left no database of SQLite", where=f"/{PLACE}/{FILE}")
        file.seek(_VERSIONS)
        file.write(_ROLLBACK)
    place = target_place(root)
    if inside(root, place) != folder:
        target = make_folder(root, place)
        for path in list(folder.iterdir()):
            path.rename(target / path.name)
        folder.rmdir()


def _opened(root: Path, path: str) -> BinaryIO:
    if inside(root, path, follow=False).is_symlink():
        raise IntegrityError("a link is where rpm's database should be", where=f"/{path}")
    try:
        return open_regular(root, path, writable=True)
    except FileNotFoundError as error:
        raise IntegrityError("rpm left no database", where=f"/{path}") from error


def rpm_packages(root: Path) -> Iterator[InstalledPackage]:
    """What the database says is installed; nothing where there is none. Raises IntegrityError."""
    for header in stored_headers(root):
        with _judged(PLACE):
            name, version, architecture = identity(header)
            paths = tuple(f"/{one.path}" for one in packaged_paths(header) if not one.ghost)
        yield InstalledPackage(name, version, architecture, paths)


@contextmanager
def _judged(place: str) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, ValueError) as error:
        raise IntegrityError(
            "rpm's database is malformed, or hostile",
            where=f"/{place}",
            details=str(error),
            resolution="find out which package's scriptlet wrote to it, or where the tree comes from",
        ) from error


def find_database(root: Path) -> Path | None:
    """Where the root's own rpm looks, or a place of custom: an image's rpm may be pruned, or its database moved."""
    folders = (_macros(root)["_dbpath"], PLACE, OLD_PLACE)
    places = (inside(root, f"{folder}/{FILE}") for folder in folders)
    return next((place for place in places if place.is_file()), None)


def stored_headers(root: Path) -> Iterator[Header]:
    """The headers of the packages that are installed in a root; none where there is no database.

    Raises IntegrityError for what is not a database of rpm's.
    """
    path = find_database(root)
    if path is None:
        return
    # Immutable: SQLite would else want to lock it, and to look for a log beside it.
    with (
        _judged(str(path.relative_to(root))),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", uri=True)) as connection,
    ):
        for blob in _rows(connection):
            header = stored_header(blob)
            if header.text(Tag.NAME) != _KEYS:
                yield header


def _rows(connection: sqlite3.Connection) -> Iterator[bytes]:
    """The table's blobs. Raises ValueError or sqlite3.Error for another schema, or for work without an end."""
    steps = 0

    def exhausted() -> bool:
        nonlocal steps
        steps += _STEPS
        return steps > _MOST_STEPS

    connection.set_progress_handler(exhausted, _STEPS)
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MOST_HEADER_BYTES)
    connection.execute("PRAGMA trusted_schema = OFF")
    kinds = connection.execute("SELECT type FROM sqlite_master WHERE lower(name) = 'packages'").fetchall()
    if kinds != [("table",)]:
        raise ValueError("it has no table of packages")
    for number, (blob,) in enumerate(connection.execute("SELECT blob FROM Packages ORDER BY hnum")):
        if not isinstance(blob, bytes) or number >= _MOST_PACKAGES:
            raise ValueError(f"its row {number} is no header, or one of more than {_MOST_PACKAGES}")
        yield blob
