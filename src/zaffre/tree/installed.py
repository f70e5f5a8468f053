# SPDX-License-Identifier: Apache-2.0
"""Which packages a root's own database says are installed, and whose each file is; whatever database it has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from zaffre.tree.kmod import plain_name
from zaffre.tree.rootfs import inside


@dataclass(frozen=True)
class InstalledPackage:
    """`paths` are absolute, as the package lists them; `architecture` is in the distribution's words."""

    name: str
    version: str
    architecture: str
    paths: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str]:
        return self.name, self.architecture


def installed_packages(root: Path) -> Iterator[InstalledPackage]:
    """All of them. A root has dpkg's database or rpm's; one that has both tells of both."""
    from zaffre.tree.deb.installed import deb_packages  # noqa: PLC0415 - both import the class above
    from zaffre.tree.rpm.database import rpm_packages  # noqa: PLC0415

    yield from deb_packages(root)
    yield from rpm_packages(root)


def owners(root: Path, packages: Iterable[InstalledPackage]) -> dict[str, tuple[str, str]]:
    """Keys of packages by tree path. `/lib/x` is looked up where the link `/lib` leads; a module by its plain name."""
    found: dict[str, tuple[str, str]] = {}
    parents: dict[str, str] = {}
    for package in packages:
        for path in package.paths:
            parent, _, name = path.rpartition("/")
            if parent not in parents:
                resolved = inside(root, parent).relative_to(root).as_posix()
                parents[parent] = "" if resolved == "." else f"{resolved}/"
            found[parents[parent] + plain_name(name)] = package.key
    return found
