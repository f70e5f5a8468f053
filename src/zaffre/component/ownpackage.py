# SPDX-License-Identifier: Apache-2.0
"""Packages of our own making: files laid where the definition says, a control file, and dpkg-deb.

They have no maintainer scripts: a unit is installed and enabled by nobody but an image, and users come from
sysusers.d(5) like every other file. All files are root's, and have the time of the source.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.component.model import Bench
from zaffre.definition.component import GoModule, OwnPackage, is_program
from zaffre.errors import DefinitionError
from zaffre.tree.deb.package import CONTROL, md5_of, pack_deb, write_control
from zaffre.tree.rootfs import inside, make_folder, walk

_UNITS = "usr/lib/systemd/system"
_RELATIONS = ("depends", "recommends", "conflicts", "replaces", "provides")


@dataclass(frozen=True)
class Origin:
    """Where files come from: `programs` by name, all else below `folder`; `licence` is the source's, if it has one."""

    folder: Path
    source: str
    version: str
    epoch: int
    programs: Mapping[str, Path]
    licence: Path | None = None


def pack_own(bench: Bench, origin: Origin, scratch: Path) -> tuple[Path, ...]:
    """All packages of the component, as files in `scratch`."""
    target = scratch / "packages"
    target.mkdir()
    return tuple(
        pack_deb(_laid(bench, origin, package, scratch), target, epoch=origin.epoch, sandbox=bench.sandbox)
        for package in bench.component.packages
    )


def _laid(bench: Bench, origin: Origin, package: OwnPackage, scratch: Path) -> Path:
    root = scratch / "own" / package.name
    root.mkdir(parents=True)
    for path, destination in package.install.items():
        where = f"{bench.component.file}: packages.{package.name}.install"
        source = origin.folder / path
        if isinstance(bench.component.source, GoModule) and is_program(path):
            source = _program(path, origin, where=where)
        _copy(source, root, destination, where=where)
    for unit in package.units:
        where = f"{bench.component.file}: packages.{package.name}.units"
        _copy(origin.folder / unit, root, f"{_UNITS}/{Path(unit).name}", where=where)
    if origin.licence is not None:
        _copy(origin.licence, root, f"usr/share/doc/{package.name}/copyright", where=bench.component.file)
    for name, status in (*walk(root), ("", root.lstat())):
        place = root / name
        os.chown(place, 0, 0, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            place.chmod(0o755 if stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR else 0o644)
        os.utime(place, (origin.epoch, origin.epoch), follow_symlinks=False)
    _control(bench, origin, package, root)
    return root


def _program(path: str, origin: Origin, *, where: str) -> Path:
    program = origin.programs.get(path.removeprefix("bin/"))
    if program is None:
        raise DefinitionError(
            f"the build gave no program '{path}'",
            where=where,
            resolution=f"it gave {', '.join(f'bin/{name}' for name in sorted(origin.programs)) or 'none'}",
        )
    return program


def _copy(source: Path, root: Path, destination: str, *, where: str) -> None:
    """Lay a file, or all that is in a folder, into the package. Links that are in it lead into it alone."""
    if not source.exists() and not source.is_symlink():
        raise DefinitionError(f"there is nothing at {source.name} to install", where=where)
    if not source.is_dir() or source.is_symlink():
        _copy_file(source, root, destination, where=where)
        return
    make_folder(root, destination)
    for path, status in walk(source):
        if stat.S_ISDIR(status.st_mode):
            make_folder(root, f"{destination}/{path}")
        else:
            _copy_file(source / path, root, f"{destination}/{path}", where=where)


def _copy_file(source: Path, root: Path, destination: str, *, where: str) -> None:
    folder, _, name = destination.rpartition("/")
    make_folder(root, folder)
    target = inside(root, destination, follow=False)
    if os.path.lexists(target):
        raise DefinitionError(f"two files are installed as /{name}", where=where)
    shutil.copy2(source, target, follow_symlinks=False)


def _control(bench: Bench, origin: Origin, package: OwnPackage, root: Path) -> None:
    files = [path for path, status in walk(root) if stat.S_ISREG(status.st_mode)]
    missing = [path for path in package.conffiles if path.lstrip("/") not in files]
    if missing:
        raise DefinitionError(
            f"the package '{package.name}' installs no {missing[0]}",
            where=f"{bench.component.file}: packages.{package.name}.conffiles",
            resolution="mend the path, or install the file",
        )
    control = root / CONTROL
    control.mkdir(mode=0o755)
    sums = "".join(f"{md5_of(root / path)}  {path}\n" for path in sorted(files) if f"/{path}" not in package.conffiles)
    for name, text in (("md5sums", sums), ("conffiles", "".join(f"{path}\n" for path in package.conffiles))):
        if text:
            (control / name).write_text(text, encoding="utf-8")
            (control / name).chmod(0o644)
    fields = {
        "Package": package.name,
        "Source": origin.source,
        "Version": origin.version,
        "Architecture": bench.architecture if package.architecture == "any" else "all",
        "Maintainer": bench.distribution.identity.maintainer,
        "Section": "misc",
        "Priority": "optional",
    }
    relations: dict[str, Sequence[str]] = {name.title(): getattr(package, name) for name in _RELATIONS}
    fields |= {name: ", ".join(values) for name, values in relations.items() if values}
    write_control(root, {**fields, "Description": package.description})
