# SPDX-License-Identifier: Apache-2.0
"""A small library rebuilt from Debian's source: `zaffre component build` beside sbuild, Debian's own builder.

Same source, same packages to build with, tests run by both, no download by either: sbuild gets a chroot tarball made by
mmdebstrap, not packed, and installs what the source needs from an archive on the same disk; we have the packages in
the store and the configured root that the first build leaves there. Its chroot is unpacked into memory, as ours is.
Source: sbuild(1), sbuild.conf(5), version 0.89.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, Limit, Unit
from lab import Lab, Say
from measure import BenchError, Cost, measure
from noise import wait_for_calm

from repository import INSIDE, make_repository
from zaffre.sandbox import Mount
from zaffre.store import copy_sparse
from zaffre.upstream.solving import SetRequest

COMPONENT = "lz4"
_CHROOT = "sbuild"
_CHROOT_PACKAGES = ("apt", "build-essential", "fakeroot")
_SECONDS = 900.0
_PLACE = "/run/sbuild"
_MOST_RATIO = 1.1
_IDS = "root:100000:65536\n"
_SETTINGS = f"""\
$chroot_mode = 'unshare';
$unshare_mmdebstrap_auto_create = 0;
$unshare_bind_mounts = [ {{ directory => '{INSIDE}', mountpoint => '{INSIDE}' }} ];
$run_lintian = 0;
$run_piuparts = 0;
$run_autopkgtest = 0;
1;
"""


@dataclass
class Rebuilds:
    """The costs of each round, in order."""

    ours: list[Cost] = field(default_factory=list)
    sbuild: list[Cost] = field(default_factory=list)

    @property
    def others(self) -> list[float]:
        """The share of the machine that other programs used, for each measurement."""
        return [cost.others for cost in (*self.ours, *self.sbuild)]


def rebuild_requests(architecture: str) -> Iterable[SetRequest]:
    """What sbuild's chroot is made of."""
    yield SetRequest(_CHROOT, _CHROOT_PACKAGES, architecture)


def measure_rebuilds(lab: Lab, *, rounds: int, say: Say) -> Rebuilds:
    """One round is a build of each, one after the other; before the first, ours fills its store."""
    peer = _Sbuild(lab)
    _build(lab)
    found = Rebuilds()
    for number in range(1, rounds + 1):
        wait_for_calm()
        found.sbuild.append(peer.build())
        wait_for_calm()
        found.ours.append(_build(lab))
        theirs, mine = found.sbuild[-1], found.ours[-1]
        say(
            f"round {number} of {rounds}: {COMPONENT} rebuilt: sbuild {theirs.wall:.1f} s, CPU {theirs.cpu:.1f} s; "
            f"Zaffre {mine.wall:.1f} s, CPU {mine.cpu:.1f} s (others {max(theirs.others, mine.others):.0%})"
        )
    return found


def rebuild_figures(found: Rebuilds) -> list[Figure]:
    """The lines of the table that are about components."""

    def pair(title: str, attribute: str, most: float | None) -> Figure:
        mine, theirs = (
            tuple(float(getattr(cost, attribute)) for cost in costs) for costs in (found.ours, found.sbuild)
        )
        limit = Limit(ratio=most) if most is not None else None
        return Figure(f"{COMPONENT} rebuilt, {title}", Unit.SECONDS, mine, "sbuild", theirs, limit)

    return [pair("wall time", "wall", _MOST_RATIO), pair("CPU time", "cpu", None)]


def _build(lab: Lab) -> Cost:
    argv = lab.zaffre("component", "build", COMPONENT, "--no-cache")
    return measure(argv, log=lab.log("component"), timeout=_SECONDS)


class _Sbuild:
    """sbuild with all that it takes, in a folder of the lab."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._folder = lab.folder / "sbuild"
        self._folder.mkdir()
        self._repository = make_repository(lab, "sbuild-repository", lab.build_packages(COMPONENT, _CHROOT))
        (self._folder / "config.pl").write_text(_SETTINGS)
        (self._folder / "ids").write_text(_IDS)
        source = lab.component(COMPONENT).source
        for file in source.files:
            copy_sparse(lab.package_files.path(file.digest), self._folder / Path(file.path).name)
        self._description = next(Path(file.path).name for file in source.files if file.path.endswith(".dsc"))
        _make_chroot(lab, self._repository, self._folder)

    def build(self) -> Cost:
        """Build once. Raises BenchError when no package comes of it."""
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        lab = self._lab
        argv = lab.boxed(
            [
                *("env", f"SBUILD_CONFIG={_PLACE}/config.pl", "USER=root", "LOGNAME=root", "HOME=/tmp"),
                "sbuild",
                f"--chroot={_PLACE}/chroot.tar",
                f"--dist={lab.suite}",
                f"--arch={lab.architecture.name}",
                *("--arch-any", "--arch-all", "--no-source"),
                f"--jobs={lab.sandbox.jobs}",
                f"--build-dir={_PLACE}/out",
                f"{_PLACE}/{self._description}",
            ],
            mounts=[
                Mount(self._folder, _PLACE, writable=True),
                Mount(self._repository, INSIDE),
                Mount(self._folder / "ids", "/etc/subuid"),
                Mount(self._folder / "ids", "/etc/subgid"),
                # Its user namespace may mount /sys and /proc only where whole ones are to be seen (user_namespaces(7)).
                Mount(Path("/sys"), "/sys"),
                Mount(Path("/proc"), "/run/proc", writable=True),
            ],
            cwd=f"{_PLACE}/out",
        )
        cost = measure(argv, log=lab.log("sbuild"), timeout=_SECONDS)
        if not any(out.glob("*.deb")):
            raise BenchError("sbuild made no package")
        return cost


def _make_chroot(lab: Lab, repository: Path, folder: Path) -> None:
    """The tarball as sbuild(1) says that it is made: by mmdebstrap, variant buildd."""
    temporary = folder / "tmp"
    temporary.mkdir()
    argv = lab.boxed(
        [
            *("env", f"TMPDIR={_PLACE}/tmp"),
            *("mmdebstrap", "--mode=root", "--variant=buildd", "--skip=output/mknod", "--format=tar"),
            *(lab.suite, f"{_PLACE}/chroot.tar", f"deb [trusted=yes] copy:{INSIDE} {lab.suite} main"),
        ],
        mounts=[Mount(folder, _PLACE, writable=True), Mount(repository, INSIDE)],
    )
    measure(argv, log=lab.log("mmdebstrap"), timeout=_SECONDS)
    shutil.rmtree(temporary)
