# SPDX-License-Identifier: Apache-2.0
"""The last step of a lock: the ids that maintainer scripts give, learned where packages changed."""

from __future__ import annotations

from collections.abc import Collection

from zaffre.definition import TOOLS
from zaffre.upstream.lock import Lock, Users
from zaffre.upstream.requests import host_architecture
from zaffre.upstream.shelf import Shelf
from zaffre.upstream.world import World


def with_users(lock: Lock, old: Lock | None, world: World, hosts: Collection[tuple[str, str]], shelf: Shelf) -> Lock:
    """The lock with the ids that scripts of the sets in `hosts` give, where packages changed or none are known yet.

    Scripts of another architecture can't be run here: such a set starts from the ids that are known.
    """
    if world.learn_users is None or lock is old:
        return lock
    machine = str(host_architecture())
    todo = []
    for one in (lock.set(*key) for key in sorted(hosts)):
        before = old.find(*one.key) if old else None
        if one.architecture == machine and not (one.users and before and before.packages == one.packages):
            todo.append(one)
    if not todo:
        return lock
    learned: dict[tuple[str, str], Users] = {}
    with world.fetched(lock.set(TOOLS, machine), shelf.distribution, lock.created) as sandbox:
        for one in todo:
            shelf.provide(one.packages)
            with world.progress.step(f"users and groups of {one.name}") as remark:
                learned[one.key] = world.learn_users(one, sandbox, lock.epoch)
                remark(f"{len(learned[one.key].users)} users, {len(learned[one.key].groups)} groups")
    by_name = {key[0]: users for key, users in learned.items()}
    sets = [
        one.model_copy(update={"users": learned.get(one.key) or one.users or by_name.get(one.name, Users())})
        for one in lock.sets
    ]
    return lock.model_copy(update={"sets": tuple(sets)})
