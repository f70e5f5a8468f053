# SPDX-License-Identifier: Apache-2.0
"""`/var` of an immutable host: empty in the image, made anew by systemd-tmpfiles on the partition that a machine has.

What the packages left in /var, and systemd-tmpfiles would not make by their own configuration, gets a generated line
(tmpfiles.d(5)); files go to /usr/share/factory/var, from where they are copied once. A package manager's database
moves to /usr/lib/sysimage, part of the verified image; where it was in /var is a link to it, in the image and by
tmpfiles, so that scanners find it in both.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from zaffre.errors import WorldError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.globs import alternatives, matcher
from zaffre.tree.rootfs import inside, make_folder, make_link, remove, walk, write_text

DATABASES = {"var/lib/dpkg": "usr/lib/sysimage/dpkg", "var/lib/rpm": "usr/lib/sysimage/rpm"}
"""Where databases are by custom, and where they are in an image. (Fedora's rpm has its own there from the start.)"""
_CONFIGURATION = "usr/lib/tmpfiles.d/zaffre-var.conf"
_FACTORY = "usr/share/factory/var"
_TARGET = "/run/target"
_SECONDS = 120.0
_CARRIED_OUT = frozenset({0, 65, 73})
"""Lines about one machine (%m, %b) cannot be carried out here: systemd-tmpfiles says so, and does all others."""

FORGOTTEN: dict[str, str] = {
    "/var/lib/systemd/deb-systemd-*": "what maintainer scripts enabled; none runs here again",
    "/var/lib/pam": "pam-auth-update's memory",
    "/var/lib/ucf": "ucf's memory",
    "/var/lib/shells.state": "update-shells' memory",
    "/var/cache/debconf": "debconf's memory",
    "/var/lib/apt": "apt's memory",
    "/var/cache/apt": "apt's memory",
    "/var/cache/{dnf,libdnf5}": "dnf's memory",
    "/var/lib/{dnf,rpm-state}": "dnf's memory, and that of scriptlets",
}
"""State of the package manager, which an image does not run, by globs, and why it goes."""

USED_BY_SCANNERS = matcher(("/status", "/arch", "/info", "/info/*.list", "/info/*.md5sums", "/info/format"))
"""What stays of dpkg's database, by paths below it, where there is no dpkg."""


def make_var_recreatable(root: Path, *, sandbox: Sandbox) -> None:
    """Empty /var of the tree and generate what makes it again. The sandbox's tools need systemd-tmpfiles."""
    moved = _move_databases(root)
    forgotten = matcher(one for pattern in FORGOTTEN for one in alternatives(pattern))
    for path in [path for path, _ in walk(root, "var") if forgotten(f"/{path}")]:
        remove(root / path)
    old = root.parent / f"{root.name}.var"
    (root / "var").rename(old)
    (root / "var").mkdir(mode=0o755)
    (root / "var").chmod(0o755)
    ended = sandbox.run(
        ["systemd-tmpfiles", f"--root={_TARGET}", "--create", "--prefix=/var"],
        mounts=[Mount(root, _TARGET, writable=True)],
        timeout=_SECONDS,
        check=False,
    )
    if ended.returncode not in _CARRIED_OUT:
        raise WorldError(
            f"systemd-tmpfiles failed (exit {ended.returncode})",
            details=ended.stderr_tail,
            resolution="look at the tmpfiles.d files of the image's own trees and packages",
        )
    made = {path for path, _ in walk(root, "var")}
    lines = list(_lines(root, old, made))
    remove(old)
    for entry in list((root / "var").iterdir()):
        remove(entry)
    for path in moved:
        link = os.path.relpath(DATABASES[path], os.path.dirname(path))  # noqa: PTH120
        make_link(root, path, link)
        lines.append(f"L /{path} - - - - {link}")
    text = "# What the packages of this image keep in /var (tmpfiles.d(5)). Generated.\n"
    write_text(root, _CONFIGURATION, text + "".join(f"{line}\n" for line in lines))


def _move_databases(root: Path) -> list[str]:
    """Those that were there, by where they were."""
    moved = []
    for path, target in DATABASES.items():
        place = inside(root, path, follow=False)
        new = inside(root, target, follow=False)
        if place.is_dir() and not place.is_symlink() and not new.exists():
            make_folder(root, os.path.dirname(target))  # noqa: PTH120
            place.rename(new)
            moved.append(path)
    dpkg = inside(root, DATABASES["var/lib/dpkg"], follow=False)
    if not inside(root, "usr/bin/dpkg").exists():
        # Without dpkg itself, only what scanners read of its database stays.
        for path, _ in [*walk(dpkg)]:
            if not USED_BY_SCANNERS(f"/{path}"):
                remove(dpkg / path)
    return moved


def _lines(root: Path, old: Path, made: set[str]) -> Iterator[str]:
    for below, status in walk(old):
        path = f"var/{below}"
        if path in made:
            continue
        owner = f"{stat.S_IMODE(status.st_mode):04o} {status.st_uid} {status.st_gid}"
        name = _escaped(f"/{path}")
        if stat.S_ISDIR(status.st_mode):
            yield f"d {name} {owner} -"
        elif stat.S_ISLNK(status.st_mode):
            yield f"L {name} - - - - {(old / below).readlink()}"
        elif not status.st_size:
            yield f"f {name} {owner} -"
        else:
            factory = f"{_FACTORY}/{below}"
            make_folder(root, os.path.dirname(factory))  # noqa: PTH120
            target = inside(root, factory, follow=False)
            shutil.copyfile(old / below, target)
            target.chmod(stat.S_IMODE(status.st_mode))
            os.chown(target, status.st_uid, status.st_gid)
            yield f"C {name} {owner} -"


def _escaped(path: str) -> str:
    r"""tmpfiles.d(5): `%` begins a specifier, white space ends a field."""
    text = path.replace("\\", "\\\\").replace("%", "%%").replace('"', '\\"')
    return f'"{text}"' if any(c in text for c in ' \t"\\') else text
