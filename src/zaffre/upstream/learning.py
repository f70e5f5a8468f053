# SPDX-License-Identifier: Apache-2.0
"""The last step of a lock: the ids that maintainer scripts give, learned where packages changed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from zaffre.definition import TOOLS, Architecture
from zaffre.sandbox import Sandbox
from zaffre.upstream.lock import Lock, LockedSet, Users
from zaffre.upstream.requests import host_architecture
from zaffre.upstream.shelf import Shelf
from zaffre.upstream.toolsets import tool_sets
from zaffre.upstream.world import World


def with_users(lock: Lock, old: Lock | None, world: World, hosts: Collection[tuple[str, str]], shelf: Shelf) -> Lock:
    """The lock with the ids that scripts of the sets in `hosts` give, where packages changed or none are known yet.

    An image that is for this machine's architecture too has the ids from there on every other: machines of one image
    agree. Else the scripts are run by an emulator, if the definition and the world have one.
    """
    if world.learn_users is None or lock is old:
        return lock
    machine = str(host_architecture())
    by_name: dict[str, Users] = {}
    learned: dict[tuple[str, str], Users] = {}
    for one in sorted((lock.set(*key) for key in hosts), key=lambda one: (one.architecture != machine, one.key)):
        before = old.find(*one.key) if old else None
        if one.name in by_name:
            learned[one.key] = by_name[one.name]
        elif one.users and before and before.packages == one.packages:
            by_name[one.name] = one.users
        elif one.architecture == machine or _can_emulate(one.architecture, world, shelf):
            with _sandbox(lock, one.architecture, machine, world, shelf) as sandbox:
                by_name[one.name] = learned[one.key] = _learned(one, sandbox, lock, world, shelf)
    sets = [
        one.model_copy(update={"users": learned.get(one.key) or one.users or by_name.get(one.name, Users())})
        for one in lock.sets
    ]
    return lock.model_copy(update={"sets": tuple(sets)})


def _can_emulate(architecture: str, world: World, shelf: Shelf) -> bool:
    return world.cross_tools is not None and Architecture(architecture) in shelf.distribution.tools.cross


@contextmanager
def _sandbox(lock: Lock, architecture: str, machine: str, world: World, shelf: Shelf) -> Iterator[Sandbox]:
    if architecture == machine:
        with world.fetched(lock.set(TOOLS, machine), shelf.distribution, lock.created) as sandbox:
            yield sandbox
        return
    sets = tool_sets(shelf.distribution, lock, architecture=architecture, machine=machine)
    with world.fetched_for(sets, shelf.distribution, lock.created) as sandbox:
        yield sandbox


def _learned(one: LockedSet, sandbox: Sandbox, lock: Lock, world: World, shelf: Shelf) -> Users:
    if world.learn_users is None:
        raise AssertionError
    shelf.provide(one.packages)
    with world.progress.step(f"users and groups of {one.name}") as remark:
        found = world.learn_users(one, sandbox, lock.epoch)
        remark(f"{len(found.users)} users, {len(found.groups)} groups")
    return found
