# SPDX-License-Identifier: Apache-2.0
"""What every command begins with, made here in its real size: an archive's index of packages, and a lock.

The index has 70,000 stanzas, as Debian's `main` has; the lock one set of 800 packages, as a large server's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from figures import Figure, Limit, Unit
from measure import BenchError
from noise import Noise, wait_for_calm

from zaffre.digest import Sha256
from zaffre.upstream import Lock, LockedPackage, LockedSet, LockedSuite, Users, load_lock, save_lock
from zaffre.upstream.deb.index import Index, Universe

STANZAS = 70_000
LOCKED = 800
ROUNDS = 5
_SUITE = LockedSuite(
    upstream="bench",
    archive="debian",
    suite="stable",
    release_sha256="0" * 64,
    date=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
)
_STANZA = """\
Package: {name}
Architecture: amd64
Version: 1.0-1
Filename: pool/{name}_1.0-1.deb
Size: 1
SHA256: {digest}
Description: something long enough to be like the real ones
Tag: {tags}

"""


@dataclass
class Begun:
    """CPU seconds of each round, in order, and what else used the machine."""

    index: list[float] = field(default_factory=list)
    lock: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


def make_index(folder: Path, stanzas: int) -> Path:
    """An index of so many packages, unpacked."""
    path = folder / "Packages"
    tags = "x::y, " * 50
    path.write_text(
        "".join(_STANZA.format(name=f"package-{number}", digest="0" * 64, tags=tags) for number in range(stanzas)),
        "utf-8",
    )
    return path


def make_lock(folder: Path, packages: int) -> Path:
    """A lock of one set of so many packages."""
    locked = LockedSet(
        name="host",
        architecture="amd64",
        upstream="bench",
        request="0" * 64,
        users=Users(),
        packages=tuple(_package(f"package-{number}") for number in range(packages)),
    )
    path = folder / "zaffre.lock"
    save_lock(Lock(distribution="bench", created=_SUITE.date, serial=1, suites=(_SUITE,), sets=(locked,)), path)
    return path


def read_index(path: Path, stanzas: int) -> None:
    """All that a solver asks an index for before it begins. Raises BenchError when it is not what was made."""
    universe = Universe("amd64", [Index(_SUITE, "main", "amd64", Sha256("0" * 64), path)])
    last = universe.candidates(f"package-{stanzas - 1}")
    if (len(universe.names), universe.essential, len(last)) != (stanzas, (), 1):
        raise BenchError(f"{len(universe.names)} of {stanzas} packages of the index were read")


def read_lock(path: Path, packages: int) -> None:
    """Raises BenchError when it is not what was made."""
    found = load_lock(path)
    count = len(found.sets[0].packages) if found else 0
    if count != packages:
        raise BenchError(f"{count} of {packages} packages of the lock were read")


def measure_indexes(folder: Path, *, say: Callable[[str], None]) -> Begun:
    """Each is read once before the clock starts."""
    found = Begun()
    index, lock = make_index(folder, STANZAS), make_lock(folder, LOCKED)
    read_index(index, STANZAS)
    read_lock(lock, LOCKED)
    wait_for_calm()
    for _ in range(ROUNDS):
        noise = Noise()
        found.index.append(_seconds(lambda: read_index(index, STANZAS)))
        found.lock.append(_seconds(lambda: read_lock(lock, LOCKED)))
        found.others.append(noise.share())
    say(f"an index of {STANZAS:,} packages: {min(found.index):.2f} s; a lock of {LOCKED}: {min(found.lock):.3f} s")
    return found


def index_figures(found: Begun) -> list[Figure]:
    """The lines of the table that are about what every command begins with."""
    return [
        Figure(
            f"index of {STANZAS:,} packages, CPU time",
            Unit.SECONDS,
            tuple(found.index),
            limit=Limit(value=1.0, strict=True),
        ),
        Figure(
            f"lock of {LOCKED} packages, CPU time",
            Unit.SECONDS,
            tuple(found.lock),
            limit=Limit(value=0.05, strict=True),
        ),
    ]


def _seconds(work: Callable[[], None]) -> float:
    begun = time.process_time()
    work()
    return time.process_time() - begun


def _package(name: str) -> LockedPackage:
    return LockedPackage(
        name=name,
        version="1.0-1",
        architecture="amd64",
        sha256=Sha256("0" * 64),
        size=1000,
        path=f"pool/main/{name[0]}/{name}_1.0-1.deb",
        suite="stable",
        archive="debian",
        source=name,
        source_version="1.0-1",
    )
