# SPDX-License-Identifier: Apache-2.0
"""What configuration leaves in a tree that belongs to one machine or one moment, and so to no image (trap 23)."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from zaffre.tree.globs import alternatives, matcher
from zaffre.tree.rootfs import inside, remove, walk

EMPTIED = ("/etc/machine-id",)
"""systemd: an empty machine-id is filled in at each boot; without the file a read-only /etc cannot have one."""

REMOVED: dict[str, str] = {
    "/var/lib/dbus/machine-id": "a link to it is made by tmpfiles; a copy would be one machine's",
    "/etc/ssh/ssh_host_*": "one machine's secret",
    "/etc/nvme/hostid": "one machine's name",
    "/etc/nvme/hostnqn": "one machine's name",
    "/etc/.pwd.lock": "a lock",
    "/etc/{passwd,group,shadow,gshadow,subuid,subgid}-": "backups by the tools that edit users",
    "/var/cache/ldconfig/aux-cache": "inode numbers and times of the building host",
    "/var/cache/debconf/*-old": "backups",
    "/var/cache/apt/*.bin": "made from the building host's lists",
    "/var/cache/apt/archives/*.deb": "downloads",
    "/var/lib/apt/lists/**": "downloads",
    "/var/lib/dpkg/*-old": "backups",
    "/var/lib/dpkg/lock*": "locks",
    "/var/lib/dpkg/triggers/Lock": "a lock",
    "/var/cache/{dnf,libdnf5}/**": "downloads",
    "/var/lib/ucf/*.[0-9]": "backups",
    "/var/lib/systemd/random-seed": "one machine's secret",
    "/var/lib/systemd/credential.secret": "one machine's secret",
    "/var/lib/urandom/random-seed": "one machine's secret",
    "/etc/**/*.ucf-{old,new,dist}": "backups",
    "/etc/**/*.dpkg-{old,new,dist,tmp}": "backups",
    "/root/.cache": "of the build",
    "/tmp/**": "of the build",  # noqa: S108
    "/var/tmp/**": "of the build",  # noqa: S108
    "/run/**": "of the build",
    "/dev/**": "the kernel's",
    "/proc/**": "the kernel's",
    "/sys/**": "the kernel's",
}
"""Globs with `{a,b}` alternatives, and why each goes."""

_LOGS = "var/log"


def clean(root: Path) -> None:
    """Remove all of it. Empty log files stay: base-files makes them on purpose, with an owner of their own."""
    gone = matcher(one for pattern in REMOVED for one in alternatives(pattern))
    for path in [path for path, _ in walk(root) if gone(f"/{path}")]:
        remove(root / path)
    for path, status in walk(root, _LOGS):
        if stat.S_ISREG(status.st_mode) and status.st_size:
            (root / path).unlink()
    for path in EMPTIED:
        place = inside(root, path)
        if place.is_file():
            os.truncate(place, 0)
