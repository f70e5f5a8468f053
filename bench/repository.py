# SPDX-License-Identifier: Apache-2.0
"""A local archive of exactly the locked package files, for builders that want a mirror.

Format: https://wiki.debian.org/DebianRepository/Format; the indexes are written by apt-ftparchive(1). It is not
signed: that our own packages were verified when they were fetched is no advantage to anybody here.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lab import Lab
from measure import BenchError

from zaffre.sandbox import Mount
from zaffre.store import copy_sparse
from zaffre.upstream import LockedPackage

PROVIDES = "bench-provides"
"""An empty package that stands for what the image supplies by itself, so that all install the same packages."""

INSIDE = "/local-archive"
"""Where the archive is in the sandbox. (mkosi takes /repository for one of its own.)"""

_SECONDS = 300.0
_MOUNT = "/run/archive"


def make_repository(lab: Lab, name: str, packages: Iterable[LockedPackage]) -> Path:
    """The folder `name` of an archive of `packages`, with the suite that the lab's definition is made from."""
    folder = lab.folder / name
    pool = folder / "pool"
    pool.mkdir(parents=True)
    for package in _distinct(packages):
        copy_sparse(lab.package_files.path(package.digest), pool / Path(package.path).name)
    _add_provides(lab, pool)
    binary = folder / "dists" / lab.suite / "main" / f"binary-{lab.architecture.name}"
    binary.mkdir(parents=True)
    mounts = [Mount(folder, _MOUNT)]
    lab.sandbox.run(
        ["apt-ftparchive", "packages", "pool"], mounts=mounts, cwd=_MOUNT, stdout=binary / "Packages", timeout=_SECONDS
    )
    settings = {"Suite": lab.suite, "Codename": lab.suite, "Architectures": lab.architecture.name, "Components": "main"}
    words = [word for name, value in settings.items() for word in ("-o", f"APT::FTPArchive::Release::{name}={value}")]
    release = lab.folder / "Release"
    lab.sandbox.run(
        ["apt-ftparchive", *words, "release", f"dists/{lab.suite}"],
        mounts=mounts,
        cwd=_MOUNT,
        stdout=release,
        timeout=_SECONDS,
    )
    release.rename(folder / "dists" / lab.suite / "Release")
    return folder


def _distinct(packages: Iterable[LockedPackage]) -> tuple[LockedPackage, ...]:
    """One version of each. Raises BenchError when there are two: a builder would take the newer one."""
    found: dict[tuple[str, str], LockedPackage] = {}
    for package in packages:
        if found.setdefault(package.key, package).sha256 != package.sha256:
            raise BenchError(f"{package.name} is there in two versions; `zaffre lock --update` makes them one")
    return tuple(found.values())


def _add_provides(lab: Lab, pool: Path) -> None:
    source = lab.folder / PROVIDES
    (source / "DEBIAN").mkdir(parents=True, exist_ok=True)
    (source / "DEBIAN/control").write_text(
        f"Package: {PROVIDES}\nVersion: 1\nArchitecture: all\nMaintainer: bench <bench@localhost>\n"
        f"Provides: {', '.join(lab.image.provides)}\nDescription: what the image supplies by itself\n"
    )
    lab.sandbox.run(
        ["dpkg-deb", "--root-owner-group", "--build", "/run/source", f"/run/pool/{PROVIDES}_1_all.deb"],
        mounts=[Mount(source, "/run/source"), Mount(pool, "/run/pool", writable=True)],
        timeout=_SECONDS,
    )
