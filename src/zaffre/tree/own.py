# SPDX-License-Identifier: Apache-2.0
"""Packages that are made when an image is: what a writable system has of ours comes to it as every other package does.

So an upgrade of the machine brings what a new image would have, by the machine's own package manager.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zaffre.definition import Upstream
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox
from zaffre.tree.configure import handles_single_packages
from zaffre.tree.policy import SetuidPolicy, Verdict
from zaffre.tree.rootfs import inside
from zaffre.tree.tarball import read_tar


@dataclass(frozen=True)
class OwnPackage:
    """What a package says of itself. `scripts` are its maintainer scripts, by the names of deb-postinst(5) and kin."""

    name: str
    version: str
    architecture: str
    maintainer: str
    description: str
    depends: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict)


def make_own_package(
    package: OwnPackage, folder: Path, target: Path, *, upstream: Upstream, epoch: int, sandbox: Sandbox
) -> Path:
    """Pack all files of `folder` as `package`, into the directory `target`; the same files give the same bytes.

    All files are root's; those below /etc are the administrator's to change. The control files are left in `folder`.
    Raises DefinitionError where packages of the upstream's family cannot be made yet.
    """
    _require_deb(upstream)
    from zaffre.tree.deb.package import write_package  # noqa: PLC0415 - only the family that is used

    return write_package(package, folder, target, epoch=epoch, sandbox=sandbox)


def install_own_packages(
    root: Path, packages: Sequence[Path], *, upstream: Upstream, epoch: int, sandbox: Sandbox
) -> None:
    """Install package files into a configured root, by its own package manager; nothing is started.

    Raises ToolError when it refuses one: a script failed, a file is another package's, a dependency is not there.
    """
    _require_deb(upstream)
    from zaffre.tree.deb.configure import install_packages  # noqa: PLC0415 - likewise

    install_packages(root, packages, epoch=epoch, sandbox=sandbox)


def change_packages(
    root: Path, *, install: Sequence[Path], remove: Collection[str], epoch: int, sandbox: Sandbox
) -> None:
    """Remove packages by name, then install package files, by the package manager that the root has.

    Nothing is started; traces of the moment (logs, locks, backups) stay. Raises DefinitionError for a root without
    dpkg, ToolError when dpkg refuses: a dependency is not there, or something needs what is to go.
    """
    if not inside(root, "usr/bin/dpkg").is_file():
        raise DefinitionError(
            "the image has no dpkg, so its packages can't be changed",
            where="packages",
            resolution="lay single files over it by files.trees",
        )
    from zaffre.tree.deb.configure import change_packages as change  # noqa: PLC0415 - likewise

    change(root, install=install, remove=sorted(remove), epoch=epoch, sandbox=sandbox)


def asked_about(root: Path, *, upstream: Upstream) -> frozenset[str]:
    """Absolute paths of configuration files that the root's package manager knows as the administrator's."""
    _require_deb(upstream)
    from zaffre.tree.deb.installed import conffiles  # noqa: PLC0415 - likewise

    return conffiles(root)


def stripped_files(archive: Path, policy: SetuidPolicy) -> Mapping[str, tuple[int, int, int]]:
    """User, group and mode, by absolute path, of the files of a configured root that the policy strips of rights."""
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return {
            f"/{entry.path}": (entry.uid, entry.gid, entry.mode)
            for entry in read_tar(content)
            if entry.kind == "0" and policy.verdict(entry.path) is Verdict.STRIP
        }


def mark_dependencies(root: Path, *, wanted: Collection[str], upstream: Upstream) -> None:
    """Tell the root's package manager that all packages but `wanted` are there because others need them.

    What nothing needs any more, such as the kernel before the one before, is then removed by itself.
    """
    _require_deb(upstream)
    from zaffre.tree.deb.installed import mark_dependencies as mark  # noqa: PLC0415 - likewise

    mark(root, wanted)


def _require_deb(upstream: Upstream) -> None:
    if not handles_single_packages(upstream):
        raise DefinitionError(
            "a server cannot be made of RPM packages yet",
            where=f"upstreams/{upstream.name}.toml",
            resolution="take an upstream of Debian packages for this image; a host can be made of either",
        )
