# SPDX-License-Identifier: Apache-2.0
"""Users and groups that maintainer scripts make: given the locked ids before, written down after (trap 22)."""

from __future__ import annotations

from pathlib import Path

from zaffre.tree.rootfs import inside, read_text, write_text
from zaffre.upstream.lock import Group, User, Users

_MASTER = "usr/share/base-passwd"
_DAY = 86400


def seed(root: Path, users: Users) -> None:
    """Add the locked users and groups that the tree lacks, so that scripts find them and give no ids of their own.

    After base-passwd is configured: its own entries stay as they are. A locked name that exists keeps what it has.
    """
    _append(root, "etc/group", [_group_line(group) for group in users.groups])
    _append(root, "etc/passwd", [_passwd_line(user) for user in users.users])


def complete(root: Path, users: Users, *, epoch: int) -> None:
    """Give each seeded user the line in shadow (and group in gshadow) that its script would have written with it.

    Only where these files exist: which of them do is base-passwd's and passwd's affair.
    """
    days = epoch // _DAY
    if inside(root, "etc/shadow").exists():
        _append(root, "etc/shadow", [f"{user.name}:!*:{days}::::::" for user in users.users])
    if inside(root, "etc/gshadow").exists():
        _append(root, "etc/gshadow", [f"{group.name}:!*::" for group in users.groups])


def harvest(root: Path) -> Users:
    """Every user and group of the tree that base-passwd does not bring itself, in the order of their ids."""
    fixed_users, fixed_groups = (_names(read_text(root, f"{_MASTER}/{kind}.master")) for kind in ("passwd", "group"))
    users = [
        User(name=name, uid=int(uid), gid=int(gid), gecos=gecos, home=home, shell=shell)
        for name, _, uid, gid, gecos, home, shell in _rows(read_text(root, "etc/passwd"), 7)
        if name not in fixed_users
    ]
    groups = [
        Group(name=name, gid=int(gid), members=tuple(sorted(filter(None, members.split(",")))))
        for name, _, gid, members in _rows(read_text(root, "etc/group"), 4)
        if name not in fixed_groups
    ]
    return Users(
        users=tuple(sorted(users, key=lambda user: (user.uid, user.name))),
        groups=tuple(sorted(groups, key=lambda group: (group.gid, group.name))),
    )


def _append(root: Path, path: str, lines: list[str]) -> None:
    text = read_text(root, path)
    present = _names(text)
    new = [line for line in lines if line.partition(":")[0] not in present]
    if new:
        mode = inside(root, path).stat().st_mode & 0o7777
        write_text(root, path, text + "".join(f"{line}\n" for line in new), mode=mode)


def _names(text: str) -> frozenset[str]:
    return frozenset(line.partition(":")[0] for line in text.splitlines() if ":" in line)


def _rows(text: str, columns: int) -> list[list[str]]:
    return [row for line in text.splitlines() if len(row := line.split(":")) == columns]


def _passwd_line(user: User) -> str:
    return f"{user.name}:x:{user.uid}:{user.gid}:{user.gecos}:{user.home}:{user.shell}"


def _group_line(group: Group) -> str:
    return f"{group.name}:x:{group.gid}:{','.join(group.members)}"
