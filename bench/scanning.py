# SPDX-License-Identifier: Apache-2.0
"""`zaffre scan` of a root of 500 packages: the first time, with a store that knows nothing, and then again and again.

The packages are those of the reference distribution's lock, tools included, each once; the root has nothing else. The
first scan makes the feed: it fetches indexes and a package of each source that the archive's pockets have changed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from figures import Figure, Limit, Unit
from measure import BenchError, Cost, measure
from noise import wait_for_calm

from zaffre.definition import load_distribution, reference_root
from zaffre.upstream import LockedPackage, load_lock

PACKAGES = 500
ROUNDS = 5
_FOUND = (0, 1)
"""Whether there is a finding is the archive's matter."""
_OS_RELEASE = 'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\n'


@dataclass(frozen=True)
class Scans:
    """What the first scan cost, and those after it."""

    cold: Cost
    warm: tuple[Cost, ...]


def make_root(folder: Path, packages: Iterable[LockedPackage]) -> Path:
    """A root whose dpkg says that these are installed."""
    (folder / "etc").mkdir(parents=True)
    (folder / "var/lib/dpkg").mkdir(parents=True)
    (folder / "etc/os-release").write_text(_OS_RELEASE, "utf-8")
    stanzas = (
        f"Package: {one.name}\nStatus: install ok installed\nArchitecture: {one.architecture}\n"
        f"Version: {one.version}\nSource: {one.source} ({one.source_version})\n\n"
        for one in packages
    )
    (folder / "var/lib/dpkg/status").write_text("".join(stanzas), "utf-8")
    return folder


def locked_packages(root: Path, most: int) -> list[LockedPackage]:
    """So many different packages of Debian's own, of all architectures. Raises BenchError when the lock has fewer."""
    lock = load_lock(load_distribution(root).lock_file)
    sets = lock.sets if lock else ()
    found = {one.key: one for each in sets for one in each.packages if one.archive.startswith("debian")}
    if len(found) < most:
        raise BenchError(f"the lock has {len(found)} packages, not {most}")
    return [found[key] for key in sorted(found)][:most]


def measure_scans(folder: Path, *, say: Callable[[str], None]) -> Scans:
    """Each run is a program of its own that begins with nothing but the page cache."""
    root = make_root(folder / "scanned-root", locked_packages(reference_root(), PACKAGES))
    places = ("--distro", str(reference_root()), "--store", str(folder / "scan-store"))
    argv = [sys.executable, "-m", "zaffre", *places, "--quiet", "scan", str(root)]
    wait_for_calm()
    cold = measure(argv, log=folder / "scan.log", timeout=1800, done=_FOUND)
    say(f"first scan of {PACKAGES} packages: {cold.wall:.1f} s, of which {cold.cpu:.1f} s of CPU time")
    wait_for_calm()
    warm = tuple(measure(argv, log=folder / "scan.log", timeout=60, done=_FOUND) for _ in range(ROUNDS))
    say(f"then: {', '.join(f'{one.wall:.2f}' for one in warm)} s")
    return Scans(cold, warm)


def scan_figures(scans: Scans) -> list[Figure]:
    """The lines of the table that are about scanning."""
    again = tuple(one.wall for one in scans.warm)
    title = f"scan of {PACKAGES} packages"
    return [
        Figure(f"{title}, wall time", Unit.SECONDS, again, limit=Limit(value=1, strict=True)),
        Figure(f"{title}, memory", Unit.BYTES, tuple(float(one.process_bytes) for one in scans.warm)),
        Figure("feed from nothing, CPU time", Unit.SECONDS, (scans.cold.cpu,), limit=Limit(value=60, strict=True)),
        Figure("feed from nothing, wall time with downloads", Unit.SECONDS, (scans.cold.wall,)),
    ]
