# SPDX-License-Identifier: Apache-2.0
"""Users and groups that maintainer scripts make: harvested for the lock, renumbered to what the lock says (trap 22).

Scripts give ids in the order of configuration, so one more package can shift them, and files in a persistent /var
would change hands. The accounts are left to the scripts, with all that goes with them (shadow, expiry, homes); only
their numbers are exchanged afterwards, in passwd, in group and on every file. Renumbering by a tree's own harvest
changes nothing, so the first build of a lock and the next one are equal. Putting the accounts in place *before*
the scripts run was tried: adduser then makes no home, and systemd-sysusers no shadow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.tree.rootfs import inside, read_text, write_text
from zaffre.upstream.lock import Group, User, Users

_MASTER = "usr/share/base-passwd"
_LOWEST = 100


@dataclass(frozen=True)
class Renumbering:
    """Old number to new, for users and for groups; what is in neither stays."""

    users: Mapping[int, int]
    groups: Mapping[int, int]

    def owner(self, uid: int, gid: int) -> tuple[int, int]:
        return self.users.get(uid, uid), self.groups.get(gid, gid)


def harvest(root: Path) -> Users:
    """Every user and group of the tree that base-passwd does not bring itself, in the order of their ids.

    All of them in a tree without base-passwd: nothing else says which numbers are for ever.
    """
    fixed_users, fixed_groups = (_names(read_text(root, f"{_MASTER}/{kind}.master")) for kind in ("passwd", "group"))
    found = accounts(root)
    return Users(
        users=tuple(user for user in found.users if user.name not in fixed_users),
        groups=tuple(group for group in found.groups if group.name not in fixed_groups),
    )


def accounts(root: Path) -> Users:
    """Every user and group of the tree, in the order of their ids."""
    users = [
        User(name=name, uid=int(uid), gid=int(gid), gecos=gecos, home=home, shell=shell)
        for name, _, uid, gid, gecos, home, shell in _rows(read_text(root, "etc/passwd"), 7)
    ]
    groups = [
        Group(name=name, gid=int(gid), members=tuple(sorted(filter(None, members.split(",")))))
        for name, _, gid, members in _rows(read_text(root, "etc/group"), 4)
    ]
    return Users(
        users=tuple(sorted(users, key=lambda user: (user.uid, user.name))),
        groups=tuple(sorted(groups, key=lambda group: (group.gid, group.name))),
    )


def plan_numbers(found: Users, locked: Users, *, fixed: Iterable[int]) -> Renumbering:
    """How to number `found` so that every locked name has its locked number.

    `fixed` are the numbers of base-passwd's own users and groups. A number that the lock has given, even to a name
    that is no longer there, is given to nobody else: a new name that took one goes to the next free number below.
    """
    found_users = {user.name: user.uid for user in found.users}
    found_groups = {group.name: group.gid for group in found.groups}
    locked_users = {user.name: user.uid for user in locked.users}
    locked_groups = {group.name: group.gid for group in locked.groups}
    taken: set[int] = {
        *fixed,
        *found_users.values(),
        *found_groups.values(),
        *locked_users.values(),
        *locked_groups.values(),
    }
    users: dict[int, int] = {}
    groups: dict[int, int] = {}
    for name in sorted(found_users.keys() | found_groups.keys()):
        uid, gid = found_users.get(name), found_groups.get(name)
        new_uid, new_gid = locked_users.get(name), locked_groups.get(name)
        clash = (uid is not None and new_uid is None and uid in locked_users.values()) or (
            gid is not None and new_gid is None and gid in locked_groups.values()
        )
        free = _free_below(uid if uid is not None else gid or 0, taken) if clash else None
        if free is not None:
            taken.add(free)
        if uid is not None and (target := new_uid if new_uid is not None else free) is not None:
            users[uid] = target
        if gid is not None and (target := new_gid if new_gid is not None else free) is not None:
            groups[gid] = target
    return Renumbering(
        {old: new for old, new in users.items() if old != new}, {old: new for old, new in groups.items() if old != new}
    )


def _free_below(start: int, taken: set[int]) -> int:
    for numbers in (range(start, _LOWEST - 1, -1), range(start, 1000)):
        for number in numbers:
            if number not in taken:
                return number
    raise ValueError("no id below 1000 is free")


def renumber(root: Path, locked: Users) -> Renumbering:
    """Rewrite passwd and group of the tree; the files' owners are the caller's to change, as the result says."""
    found = harvest(root)
    names = {user.name for user in found.users}, {group.name for group in found.groups}
    passwd, group = _rows(read_text(root, "etc/passwd"), 7), _rows(read_text(root, "etc/group"), 4)
    fixed = {int(row[2]) for rows, own in ((passwd, names[0]), (group, names[1])) for row in rows if row[0] not in own}
    plan = plan_numbers(found, locked, fixed=fixed)

    def user(row: list[str]) -> list[str]:
        uid, gid = plan.owner(int(row[2]), int(row[3]))
        return [*row[:2], str(uid), str(gid), *row[4:]]

    def one_group(row: list[str]) -> list[str]:
        return [*row[:2], str(plan.owner(0, int(row[2]))[1]), row[3]]

    if plan.users or plan.groups:
        _rewrite(root, "etc/passwd", passwd, user)
        _rewrite(root, "etc/group", group, one_group)
    return plan


def _rewrite(root: Path, path: str, rows: list[list[str]], change: Callable[[list[str]], list[str]]) -> None:
    mode = inside(root, path).stat().st_mode & 0o7777
    write_text(root, path, "".join(":".join(change(row)) + "\n" for row in rows), mode=mode)


def _names(text: str) -> frozenset[str]:
    return frozenset(line.partition(":")[0] for line in text.splitlines() if ":" in line)


def _rows(text: str, columns: int) -> list[list[str]]:
    return [row for line in text.splitlines() if len(row := line.split(":")) == columns]
