# SPDX-License-Identifier: Apache-2.0
"""A locked name keeps its number; nobody gets a number that another name has, or had."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from zaffre.tree.ids import harvest, plan_numbers, renumber
from zaffre.upstream.lock import Group, User, Users

NAMES = st.sampled_from(["a", "b", "c", "d", "e", "f"])
NUMBERS = st.integers(min_value=985, max_value=999)
FIXED = (0, 1, 990)


@st.composite
def accounts(draw: st.DrawFn) -> Users:
    names = draw(st.lists(NAMES, unique=True))
    numbers = NUMBERS.filter(lambda number: number not in FIXED)
    uids = draw(st.lists(numbers, unique=True, min_size=len(names), max_size=len(names)))
    gids = draw(st.lists(numbers, unique=True, min_size=len(names), max_size=len(names)))
    return Users(
        users=tuple(User(name=name, uid=uid, gid=gid) for name, uid, gid in zip(names, uids, gids, strict=True)),
        groups=tuple(Group(name=name, gid=gid) for name, gid in zip(names, gids, strict=True)),
    )


@given(accounts(), accounts())
def test_numbers_are_the_locks_and_unique(found: Users, locked: Users) -> None:
    plan = plan_numbers(found, locked, fixed=FIXED)
    uids = {user.name: plan.owner(user.uid, 0)[0] for user in found.users}
    gids = {group.name: plan.owner(0, group.gid)[1] for group in found.groups}
    old_uids = {user.name: user.uid for user in locked.users}
    old_gids = {group.name: group.gid for group in locked.groups}
    for kind, old in ((uids, old_uids), (gids, old_gids)):
        assert len(set(kind.values())) == len(kind)
        assert not set(kind.values()) & set(FIXED)
        for name, number in kind.items():
            assert number == old[name] if name in old else number not in old.values()


@given(accounts())
def test_a_trees_own_numbers_change_nothing(found: Users) -> None:
    plan = plan_numbers(found, found, fixed=FIXED)
    assert not plan.users
    assert not plan.groups


def test_passwd_and_group_are_rewritten(tmp_path: Path) -> None:
    master = tmp_path / "usr/share/base-passwd"
    master.mkdir(parents=True)
    (master / "passwd.master").write_text("root:*:0:0:root:/root:/bin/sh\n")
    (master / "group.master").write_text("root:*:0:\n")
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nx:x:999:998:X:/:/bin/false\n")
    (tmp_path / "etc/group").write_text("root:x:0:\nx:x:998:\ny:x:999:x\n")
    locked = Users(users=(User(name="x", uid=500, gid=1),), groups=(Group(name="gone", gid=999),))
    plan = renumber(tmp_path, locked)
    assert plan.owner(999, 999) == (500, 997)
    assert (tmp_path / "etc/passwd").read_text().splitlines()[1] == "x:x:500:998:X:/:/bin/false"
    found = harvest(tmp_path)
    assert [(user.name, user.uid) for user in found.users] == [("x", 500)]
    assert [(group.name, group.gid, group.members) for group in found.groups] == [("y", 997, ("x",)), ("x", 998, ())]
