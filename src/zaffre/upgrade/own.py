# SPDX-License-Identifier: Apache-2.0
"""The two packages of ours that a server has besides its lock (ADR 21), as an upgrade meets them.

The real ones are made with an image and signed. What apt decides by is only what they are called and need, so the proof
has stand-ins without files. Versions are those of a snapshot's first revision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Architecture, Distribution, Image, Kind
from zaffre.digest import sha256_file
from zaffre.sandbox import Sandbox
from zaffre.tree.deb.model import PackageIndex
from zaffre.tree.deb.package import CONTROL, write_package
from zaffre.tree.own import OwnPackage
from zaffre.tree.ownnames import OwnNames
from zaffre.upgrade.model import Move
from zaffre.upgrade.moves import is_kernel, kind_between
from zaffre.upgrade.scratch import Offered
from zaffre.upstream import Lock, LockedPackage, LockedSet


@dataclass(frozen=True)
class StandIn:
    """One of the packages: `old_version` is on the machine, and `package` is what the new snapshot has."""

    old_version: str
    package: OwnPackage

    @property
    def move(self) -> Move | None:
        """None if the machine has it already."""
        name, version = self.package.name, self.package.version
        kind = kind_between(self.old_version, version)
        return Move(name=name, kind=kind, old_version=self.old_version, new_version=version) if kind else None

    @property
    def installed(self) -> str:
        """What dpkg's status file says of the old one."""
        lines = {
            "Package": self.package.name,
            "Status": "install ok installed",
            "Version": self.old_version,
            "Architecture": self.package.architecture,
            "Maintainer": self.package.maintainer,
            "Provides": ", ".join(self.package.provides),
            "Description": self.package.description,
        }
        return "".join(f"{name}: {value}\n" for name, value in lines.items() if value)

    def offered(self, folder: Path, *, epoch: int, sandbox: Sandbox) -> Offered:
        """The new one, made in the directory `folder`."""
        files = folder / self.package.name
        files.mkdir(parents=True)
        path = write_package(self.package, files, folder, epoch=epoch, sandbox=sandbox)
        return Offered(path, (files / CONTROL / "control").read_text(), sha256_file(path))


@dataclass(frozen=True)
class Side:
    """One end of an upgrade: a lock, the image's set in it, and its packages by name."""

    lock: Lock
    locked: LockedSet
    indexes: Mapping[str, PackageIndex]


def stand_ins(distribution: Distribution, image: Image, old: Side, new: Side) -> tuple[StandIn, ...]:
    """The kernel's package and the system's, which is the last one. Empty for what is no server."""
    if image.kind is not Kind.SERVER:
        return ()
    (before, old_modules), (after, modules) = (_release(distribution, image, side) for side in (old, new))
    if old_modules is None or modules is None:
        return ()
    version = after.kernel_version(modules)
    architecture = new.locked.architecture

    def package(name: str, version: str, depends: tuple[str, ...], provides: tuple[str, ...] = ()) -> OwnPackage:
        return OwnPackage(
            name=name,
            version=version,
            architecture=architecture,
            maintainer=distribution.identity.maintainer,
            description=f"stands for {name}",
            depends=depends,
            provides=provides,
        )

    kernel = package(after.kernel, version, after.kernel_depends(modules), image.provides)
    system = package(after.system, after.version, after.system_depends(Architecture(architecture), version))
    return StandIn(before.kernel_version(old_modules), kernel), StandIn(before.version, system)


def _release(distribution: Distribution, image: Image, side: Side) -> tuple[OwnNames, LockedPackage | None]:
    """The names in that lock, and the package that has the kernel."""
    names = OwnNames(distribution, image, f"{distribution.identity.version}.{side.lock.version}")
    return names, next((one for one in side.locked.packages if is_kernel(side.indexes[one.name])), None)
