# SPDX-License-Identifier: Apache-2.0
"""Changes to look at before all else: who is given rights, who is let in. Pure.

What takes rights away is no alert. A service that opens a port by itself can't be seen in a tree: only socket units say
where they listen.
"""

from __future__ import annotations

from collections.abc import Iterator

from zaffre.compare.files import origins
from zaffre.compare.report import Alert, SetChanges, ValueChange
from zaffre.compare.subject import Subject
from zaffre.tree import Inventory

_NO_LOGIN = ("nologin", "false", "sync")


def alerts(one: Subject, other: Subject, sets: tuple[SetChanges, ...]) -> Iterator[Alert]:
    if one.manifest and other.manifest and other.manifest.debug and not one.manifest.debug:
        yield Alert(what="debug", text="B is a debug image: a root shell on its console, without a password")
    if one.inventory is not None and other.inventory is not None:
        yield from _privileged(one.inventory, other.inventory)
        yield from _listening(one.inventory, other.inventory)
    for changes in sets:
        for change in changes.accounts:
            if change.name.startswith("user ") and change.new is not None and (change.old is None or _opened(change)):
                verb = "is new" if change.old is None else f"was {change.old}"
                yield Alert(what="account", text=f"{change.name} ({change.new}) {verb} [{changes.name}]")


def _opened(change: ValueChange) -> bool:
    """Whether an account that could not log in now can, or is now root's."""
    if change.old is None or change.new is None:
        return False
    old, new = change.old.split(", "), change.new.split(", ")
    return (old[2].endswith(_NO_LOGIN) and not new[2].endswith(_NO_LOGIN)) or (new[0] == "uid 0" != old[0])


def _privileged(old: Inventory, new: Inventory) -> Iterator[Alert]:
    before = {one.path: one for one in old.privileged}
    whose = origins(new)
    for one in new.privileged:
        was = before.get(one.path)
        if was is not None and (was.mode, was.owner, was.capabilities) == (one.mode, one.owner, one.capabilities):
            continue
        rights = f"{one.mode} {one.owner}"
        if one.capabilities:
            rights += f", capabilities {' '.join(map(str, one.capabilities))}"
        verb = "gives its caller rights anew" if was is None else f"was {was.mode} {was.owner}"
        yield Alert(what="privileged", text=f"{one.path} ({rights}, {whose.get(one.path, '?')}) {verb}")


def _listening(old: Inventory, new: Inventory) -> Iterator[Alert]:
    before = {one.name: one for one in old.listening if one.enabled}
    for one in new.listening:
        was = before.get(one.name)
        more = sorted(set(one.listens) - set(was.listens if was else ()))
        if one.enabled and more:
            verb = "listens at boot anew" if was is None else "listens in more places"
            yield Alert(what="listening", text=f"{one.name} {verb}: {', '.join(more)}")
