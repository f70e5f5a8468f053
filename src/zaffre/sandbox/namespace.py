# SPDX-License-Identifier: Apache-2.0
"""Being root: for real, or as an ordinary user within a user namespace that has many ids.

A configured root tree has files of many owners, so one mapped id is not enough: the namespace maps the
user to 0 and the subordinate ids of /etc/subuid and /etc/subgid (subuid(5)) to 1 and on, by newuidmap(1).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from zaffre.errors import WorldError
from zaffre.sandbox.command import NAMESPACE_PREFIX, Privilege

LEAST_IDS = 65_534
"""Enough for every id that Debian gives (nobody is 65534) when mapped from 1 on."""


def current_privilege() -> Privilege:
    return Privilege(root=os.geteuid() == 0, namespaced=_is_namespaced(Path("/proc/self/uid_map").read_text("ascii")))


def _is_namespaced(uid_map: str) -> bool:
    """user_namespaces(7): the first namespace's map is the one line `0 0 4294967295`."""
    return uid_map.split() != ["0", "0", "4294967295"]


def subordinate_ids(text: str, *, user: str, uid: int) -> int:
    """How many ids a subuid(5) or subgid(5) file gives to a user, named or by number."""
    total = 0
    for line in text.splitlines():
        fields = line.strip().split(":")
        if len(fields) == 3 and fields[0] in {user, str(uid)} and fields[2].isdecimal():
            total += int(fields[2])
    return total


def missing_for_namespace() -> WorldError | None:
    """What keeps this ordinary user from becoming root in a namespace; None when it has been tried and works."""
    for program, package in (("newuidmap", "uidmap"), ("newgidmap", "uidmap"), ("unshare", "util-linux")):
        if shutil.which(program) is None:
            return WorldError(
                f"{program} is not installed, so an ordinary user cannot build",
                resolution=f"install it as root: `apt install {package}`; or run this command as root",
            )
    uid = os.getuid()
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    for name in ("/etc/subuid", "/etc/subgid"):
        path = Path(name)
        count = subordinate_ids(path.read_text("utf-8") if path.exists() else "", user=user, uid=uid)
        if count < LEAST_IDS:
            return WorldError(
                f"{user} has {count} subordinate ids where {LEAST_IDS} are needed",
                where=name,
                resolution=f"as root: `usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}` "
                "(choose a range that nobody has yet); or run this command as root",
            )
    tried = subprocess.run(
        [*NAMESPACE_PREFIX, "true"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30, check=False
    )
    if tried.returncode != 0:
        return WorldError(
            "the kernel or the host's policy does not let an ordinary user make a user namespace",
            details=tried.stderr.decode(errors="replace").strip(),
            resolution="as root: `sysctl user.max_user_namespaces=10000`, on older Debian kernels "
            "`sysctl kernel.unprivileged_userns_clone=1`, on Ubuntu 24.04 and later "
            "`sysctl kernel.apparmor_restrict_unprivileged_userns=0`; or run this command as root",
        )
    return None


def become_root_in_namespace(argv: Sequence[str]) -> None:
    """Returns when we are root; else replaces this process by `argv`, run as root of a new user namespace.

    Raises WorldError that says what the host lacks. `argv` is the whole command, the interpreter first.
    """
    if os.geteuid() == 0:
        return
    missing = missing_for_namespace()
    if missing is not None:
        raise missing
    os.execvp(NAMESPACE_PREFIX[0], [*NAMESPACE_PREFIX, *argv])  # noqa: S606
