# SPDX-License-Identifier: Apache-2.0
"""Which component is built with packages of which, and the order that follows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter

from zaffre.errors import DefinitionError
from zaffre.upstream.lock import COMPONENTS, Lock, LockedComponent

Identity = tuple[str, str]
"""Name and architecture of a component."""


def needs_of(lock: Lock, locked: LockedComponent) -> tuple[Identity, ...]:
    """The components whose packages are installed to build this one, by the lock."""
    installed = lock.find(locked.build_set, locked.architecture)
    if installed is None:
        return ()
    owners = {built.package.digest: one.identity for one in lock.components for built in one.packages}
    found = [owners[one.digest] for one in installed.packages if one.archive == COMPONENTS and one.digest in owners]
    return tuple(dict.fromkeys(found))


def build_order(lock: Lock, wanted: Iterable[LockedComponent]) -> Mapping[Identity, tuple[Identity, ...]]:
    """What is wanted and all that it needs, each after its needs, with what it needs itself.

    Raises DefinitionError, naming the circle, for a lock that was put together by hand or by a merge.
    """
    by_identity = {one.identity: one for one in lock.components}
    needs: dict[Identity, tuple[Identity, ...]] = {}
    queue = [one.identity for one in wanted]
    while queue:
        identity = queue.pop()
        if identity not in needs:
            needs[identity] = needs_of(lock, by_identity[identity])
            queue += needs[identity]
    try:
        order = list(TopologicalSorter(needs).static_order())
    except CycleError as error:
        names = [identity[0] for identity in reversed(error.args[1])]
        raise DefinitionError(
            f"the lock has components that are built with one another: {', '.join(sorted(set(names)))}",
            where="zaffre.lock: components",
            details=" is built with ".join(names),
            resolution="run `zaffre lock --update`, which chooses them anew",
        ) from error
    return {identity: needs[identity] for identity in order}
