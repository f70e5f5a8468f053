# SPDX-License-Identifier: Apache-2.0
"""A folder of files becomes a Debian package: its control file, and dpkg-deb(1) of the tools tree."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.own import OwnPackage
from zaffre.tree.rootfs import walk
from zaffre.upstream.deb.control import parse_stanza

CONTROL = "DEBIAN"
"""Where the control files of an unpacked package lie (dpkg-deb(1), `--raw-extract`)."""

_WORK = "/run/work"
_TIMEOUT = 900.0
# One thread, as the number of threads shows in what zstd writes; owners as they are, times no later than the epoch.
_PACK = ("dpkg-deb", "--build", "-Zzstd", "-z9", "--threads-max=1")


def write_control(folder: Path, fields: Mapping[str, str]) -> None:
    """Write DEBIAN/control, with the size of what lies in the folder."""
    told = {**fields, "Installed-Size": str(installed_size(folder))}
    description = told.pop("Description", "")
    lines = [f"{name}: {_continued(value)}\n" for name, value in told.items()]
    path = folder / CONTROL / "control"
    path.write_text("".join([*lines, f"Description: {_continued(description)}\n"]), encoding="utf-8")
    path.chmod(0o644)


def _continued(value: str) -> str:
    """Continuation lines as they were read: without their first space, which parse_stanza takes off."""
    return value.replace("\n", "\n ")


def installed_size(folder: Path) -> int:
    """KiB, as dpkg-gencontrol counts: a file by its size, rounded up, and everything else as one."""
    return sum(
        -(-status.st_size // 1024) if stat.S_ISREG(status.st_mode) else 1
        for path, status in walk(folder)
        if path != CONTROL and not path.startswith(f"{CONTROL}/")
    )


def pack_deb(folder: Path, target: Path, *, epoch: int, sandbox: Sandbox) -> Path:
    """A package of the files in `folder` (control files in `DEBIAN/`), in the directory `target`, under its full name.

    The same files give the same bytes. `epoch`: SOURCE_DATE_EPOCH in seconds.
    """
    name = file_name(parse_stanza((folder / CONTROL / "control").read_text(encoding="utf-8")))
    (folder / CONTROL).chmod(0o755)
    sandbox.run(
        [*_PACK, f"{_WORK}/{folder.name}", f"/run/target/{name}"],
        mounts=[Mount(folder.parent, _WORK), Mount(target, "/run/target", writable=True)],
        env={"SOURCE_DATE_EPOCH": str(epoch)},
        timeout=_TIMEOUT,
    )
    return target / name


def file_name(fields: dict[str, str]) -> str:
    """Name, version without its epoch, architecture (dpkg-name(1))."""
    version = fields["Version"].partition(":")[2] or fields["Version"]
    return f"{fields['Package']}_{version}_{fields['Architecture']}.deb"


def write_package(package: OwnPackage, folder: Path, target: Path, *, epoch: int, sandbox: Sandbox) -> Path:
    """Pack `folder`, all of whose files become root's, with plain modes and the time `epoch`, as `package`.

    What is below /etc are its conffiles, as debhelper(7) has it.
    """
    files = sorted(path for path, status in walk(folder) if not stat.S_ISDIR(status.st_mode))
    regular = [path for path in files if stat.S_ISREG((folder / path).lstat().st_mode)]
    conffiles = [path for path in regular if path.startswith("etc/")]
    control = folder / CONTROL
    control.mkdir(mode=0o755)
    texts = {
        "md5sums": "".join(f"{md5_of(folder / path)}  {path}\n" for path in regular if path not in conffiles),
        "conffiles": "".join(f"/{path}\n" for path in conffiles),
        **package.scripts,
    }
    for name, text in texts.items():
        if text:
            (control / name).write_text(text, encoding="utf-8")
            (control / name).chmod(0o755 if name in package.scripts else 0o644)
    fields = {
        "Package": package.name,
        "Version": package.version,
        "Architecture": package.architecture,
        "Maintainer": package.maintainer,
        "Section": "admin",
        "Priority": "optional",
    }
    relations: Mapping[str, Sequence[str]] = {
        "Depends": package.depends,
        "Provides": package.provides,
        "Conflicts": package.conflicts,
    }
    fields |= {name: ", ".join(values) for name, values in relations.items() if values}
    write_control(folder, {**fields, "Description": package.description})
    for path, status in (*walk(folder), ("", folder.lstat())):
        place = folder / path
        os.chown(place, 0, 0, follow_symlinks=False)
        if not stat.S_ISLNK(status.st_mode):
            place.chmod(0o755 if stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR else 0o644)
        os.utime(place, (epoch, epoch), follow_symlinks=False)
    return pack_deb(folder, target, epoch=epoch, sandbox=sandbox)


def md5_of(path: Path) -> str:
    """What dpkg --verify compares; no protection against anybody."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
