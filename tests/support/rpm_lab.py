# SPDX-License-Identifier: Apache-2.0
"""The lab's distribution with a twin of its host made of RPM packages, locked from an upstream of the tests' own.

`rpm-host` is `container-host` word for word, but for where its packages come from and one unit that only dpkg has;
`rpm-check` is `check` for it; `rpm-managed` has rpm itself besides. Another family is a few lines of a definition.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.budget import set_budget
from support.lab import Lab, for_this_machine_alone
from support.repository import Archive, Mirror
from support.rpm_repository import CERTIFICATE, EXTRA_TOOLS, REPOSITORY, rpm_repository
from zaffre.cli.making import Making
from zaffre.progress import SILENT
from zaffre.tree.deb.ordering import needed_by
from zaffre.tree.deb.unpack import unpack_all
from zaffre.upstream import LockedPackage

UPSTREAM = "rpmtest"
HOST = "rpm-host"
CHECK = "rpm-check"
MANAGED = "rpm-managed"

_BUILD_TOOLS = frozenset({"patch"})
_TOOLS = re.compile(r"^\[tools\]\s*\npackages = \[\s*\n", re.MULTILINE)
_FILES: Mapping[str, str] = {
    f"upstreams/{UPSTREAM}.toml": f"""\
family = "rpm"
keyring = "keyrings/{UPSTREAM}.asc"
architectures = ["amd64", "arm64"]

[[repositories]]
archive = "{UPSTREAM}"
path = "{REPOSITORY}"
verify = "signature"
max_age_days = 3650
""",
    f"images/{HOST}.toml": f"""\
kind = "host"
extends = "container-host"
upstream = "{UPSTREAM}"

[units]
mask = ["-dpkg-db-backup.timer"]
""",
    f"images/{MANAGED}.toml": f"""\
kind = "host"
extends = "{HOST}"
packages = ["rpm"]
""",
    f"images/{CHECK}.toml": f"""\
kind = "sysext"
upstream = "{UPSTREAM}"
base = "{HOST}"

[files]
trees = ["files/check"]

[[extract]]
package = "containerd-client"
paths = ["/usr/bin/ctr"]

[[oci]]
name = "probe"
ref = "zaffre.local/probe:1"
package = "busybox-static"
paths = ["/usr/bin/busybox"]
command = ["/usr/bin/busybox", "sh"]
""",
}


class _Files(dict[str, bytes]):
    """The files below a folder, read when they are asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, key: str, default: bytes | None = None) -> bytes | None:  # type: ignore[override]
        path = self._folder / key
        return path.read_bytes() if path.is_file() else default


def folder_as_archive(folder: Path) -> Archive:
    archive = Archive()
    archive.files = _Files(folder)
    return archive


def prepare_rpm(lab: Lab, root: Path) -> Lab:
    """A lab in `root` with both hosts, made by whichever worker comes first. All that it needs is in the store then."""
    root.mkdir(parents=True, exist_ok=True)
    made = Lab(root)
    with made.exclusive("prepare"):
        if not (root / "ready").exists():
            shutil.rmtree(made.distro, ignore_errors=True)
            shutil.copytree(lab.distro, made.distro, symlinks=True)
            for_this_machine_alone(made.distro)
            shutil.rmtree(made.keys, ignore_errors=True)
            shutil.copytree(lab.keys, made.keys)
            set_budget(made.distro / "images/container-host.toml", "")  # RPM packages are cut in another way
            file = made.distro / "zaffre.toml"
            lines = "".join(f'  "{name}",\n' for name in EXTRA_TOOLS)
            file.write_text(_TOOLS.sub(lambda match: match[0] + lines, file.read_text()))
            made.zaffre("lock")
            with rpm_distribution(made) as folder:
                for name, text in _FILES.items():
                    (made.distro / name).write_text(text)
                shutil.copy(folder / CERTIFICATE, made.distro / f"upstreams/keyrings/{UPSTREAM}.asc")
                with Mirror({UPSTREAM: folder_as_archive(folder)}) as mirror:
                    place = f"{UPSTREAM}={mirror.url}/{UPSTREAM}"
                    made.zaffre("--mirror", place, "lock")
                    with made.workspace() as work:
                        work.mirrors = (place,)
                        making = Making(work)
                        making.fetch(package for one in making.lock.sets for package in one.packages)
            (root / "ready").touch()
    return made


@contextmanager
def rpm_distribution(lab: Lab) -> Iterator[Path]:
    """The folder of the RPM distribution that a lab's locked Debian packages make."""
    with lab.workspace() as work:
        making = Making(work)
        packages = _packages(making)
        making.fetch(packages)
        with rpm_repository(
            packages, tools=making.tools_set, store=work.store, sandbox=making.sandbox, progress=SILENT
        ) as folder:
            yield folder


def _packages(making: Making) -> tuple[LockedPackage, ...]:
    """Those of the reference host and its check, and rpm with what it needs, and with what it builds, beside them."""
    found: dict[str, LockedPackage] = {}
    for name in ("container-host", "check"):
        for package in making.lock.set(name, making.tools_architecture).packages:
            found.setdefault(package.name, package)
    for package in making.lock.set("component:lz4", making.tools_architecture).packages:
        if package.name in _BUILD_TOOLS:
            found.setdefault(package.name, package)
    tools = making.tools_set.packages
    making.fetch(tools)
    unpacked = unpack_all(tools, store=making.work.store, progress=SILENT)
    indexes = [one.index for one in unpacked]
    wanted = {index.name for index in needed_by(indexes, [index for index in indexes if index.name == "rpm"])}
    for package in tools:
        if package.name in wanted:
            found.setdefault(package.name, package)
    return tuple(found[name] for name in sorted(found))
