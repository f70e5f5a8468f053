# SPDX-License-Identifier: Apache-2.0
"""Who signs: the first root, and roles that get other keys. Pure: from a state to a change.

A key that is replaced may be lost or stolen: the new root does not name it any more, and nodes drop what only it has
signed, timestamps and snapshots from a wild future included (TUF 5.3.11, recovery from fast-forward attacks).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Role, Root, Targets

from zaffre.errors import DefinitionError
from zaffre.follow.layout import ONLINE, ROOT_ROLE, TARGETS_ROLE, TOP_ROLES, require_channel
from zaffre.release.change import Change
from zaffre.release.keys import NAME_FIELD, KeyFile, Ring
from zaffre.release.metadata import (
    DEFAULT_DAYS,
    AnyMetadata,
    Trustees,
    first_root,
    first_targets,
    role_of,
    set_channel,
    set_trustees,
    succeed,
    until,
)
from zaffre.release.state import State

_MOST_DAYS = 3650
_ID_BEGINS = 8


def found(
    trustees: Mapping[str, Trustees], channels: Sequence[str], days: Mapping[str, int], *, now: datetime
) -> Change:
    """The first root, targets and channels. Raises DefinitionError for names and thresholds that can't be."""
    if not channels or len(set(channels)) != len(channels):
        raise DefinitionError("name at least one channel, and each once", where="--channel")
    root = first_root(trustees, days, now)
    targets = first_targets(root.signed, {require_channel(one): trustees[one] for one in channels}, now)
    empty = {one: Metadata(Targets(expires=until(root.signed, one, now))) for one in channels}
    return Change("a new repository", {ROOT_ROLE: root, TARGETS_ROLE: targets, **empty})


def trustees_by_name(ring: Ring, channels: Sequence[str], threshold: int) -> dict[str, Trustees]:
    """Who signs for what in a new repository, by the names of the keys: the role's, or `<role>-<number>`.

    Roots take `threshold` signatures, the others one. Raises DefinitionError for a role without a key.
    """
    found: dict[str, Trustees] = {}
    for role in (*TOP_ROLES, *channels):
        keys = [one.key for one in ring.files.values() if re.fullmatch(rf"{re.escape(role)}(-[0-9]+)?", one.name)]
        if not keys:
            raise DefinitionError(
                f"there is no key for '{role}'",
                where="--signers",
                resolution=f"make it: zaffre release keys new {role}; or make all with 'zaffre release keys init'",
            )
        found[role] = Trustees(tuple(keys), threshold if role == ROOT_ROLE else 1)
    return found


def parse_days(words: Sequence[str]) -> dict[str, int]:
    """`role=days` for each; "channel" stands for every channel. Raises DefinitionError."""
    found: dict[str, int] = {}
    for word in words:
        role, _, number = word.partition("=")
        if role not in DEFAULT_DAYS or not number.isdecimal() or not 1 <= int(number) <= _MOST_DAYS:
            raise DefinitionError(
                f"{word!r} does not say for how long a role is signed",
                where="--days",
                resolution=f"write it like timestamp=2; the roles are {', '.join(DEFAULT_DAYS)}",
            )
        found[role] = int(number)
    return found


@dataclass(frozen=True)
class Turn:
    """What a role loses, by names or ids, and what it gets; None leaves the threshold."""

    remove: Sequence[str] = ()
    add: Sequence[Key] = ()
    threshold: int | None = None


def rotate(state: State, turns: Mapping[str, Turn], *, now: datetime) -> Change:
    """Give roles other keys, all of them in one change: who has lost a whole machine has lost the keys of several.

    Raises DefinitionError for a key that a role does not have, for one that it has already, and for a threshold that
    its keys then can't reach.
    """
    root = succeed(state.root, until(state.root.signed, ROOT_ROLE, now))
    targets = succeed(state.targets, until(state.root.signed, TARGETS_ROLE, now))
    roles: dict[str, AnyMetadata] = {}
    told = []
    for role, turn in turns.items():
        trustees = _turned(state, role, turn)
        if role in TOP_ROLES:
            set_trustees(root.signed, role, trustees)
            roles[ROOT_ROLE] = root
        else:
            set_channel(targets.signed, role, trustees)
            roles[role] = succeed(state.channels[role], until(state.root.signed, role, now))
        if role not in (*ONLINE, ROOT_ROLE):
            roles[TARGETS_ROLE] = targets
        words = [*(f"-{name}" for name in turn.remove), *(f"+{_called(key)}" for key in turn.add)]
        told.append(f"keys of '{role}': {' '.join(words)}, {trustees.threshold} of {len(trustees.keys)}")
    return Change("; ".join(told), roles)


def turns_by_name(
    state: State, roles: Sequence[str], remove: Sequence[str], add: Sequence[KeyFile], threshold: int | None
) -> dict[str, Turn]:
    """What is to be done to each of the roles. Of several, each loses those of the keys that it has, and gets those
    that are called after it, `<role>` or `<role>-<anything>`.

    Raises DefinitionError for a key that no role takes.
    """
    if len(roles) == 1:
        return {roles[0]: Turn(remove, [one.key for one in add], threshold)}
    turns = {
        role: Turn(
            [name for name in remove if _fits(_keys(state, role), name)],
            [one.key for one in add if one.name == role or one.name.startswith(f"{role}-")],
            threshold,
        )
        for role in roles
    }
    given = {key.keyid for turn in turns.values() for key in turn.add}
    taken = {name for turn in turns.values() for name in turn.remove}
    stray = [*(name for name in remove if name not in taken), *(one.name for one in add if one.key.keyid not in given)]
    if stray:
        raise DefinitionError(
            f"no role of {', '.join(roles)} has, or is named in, the key '{stray[0]}'",
            resolution="rotate one role at a time, or name new keys after their role, such as timestamp-2",
        )
    return turns


def _turned(state: State, role: str, turn: Turn) -> Trustees:
    before, keys = _role(state, role), _keys(state, role)
    gone = {_named(keys, name, role) for name in turn.remove}
    if twice := [key for key in turn.add if key.keyid in keys]:
        raise DefinitionError(f"'{role}' has this key already: {_called(twice[0])}", where=role)
    if not gone and not turn.add and turn.threshold is None:
        raise DefinitionError("nothing would change", where=role, resolution="name a key by --remove or --add")
    left = tuple(key for keyid, key in keys.items() if keyid not in gone)
    trustees = Trustees((*left, *turn.add), before.threshold if turn.threshold is None else turn.threshold)
    trustees.require(role)
    return trustees


def _role(state: State, role: str) -> Role:
    return role_of(state.root.signed if role in TOP_ROLES else state.targets.signed, role)


def _keys(state: State, role: str) -> dict[str, Key]:
    holder: Root | Targets = state.root.signed if role in TOP_ROLES else state.targets.signed
    return {keyid: holder.get_key(keyid) for keyid in _role(state, role).keyids}


def _called(key: Key) -> str:
    return str(key.unrecognized_fields.get(NAME_FIELD, key.keyid[:16]))


def _fits(keys: Mapping[str, Key], name: str) -> list[str]:
    """The ids of the keys that a name, or the beginning of an id, means."""
    return [
        keyid
        for keyid, key in keys.items()
        if name == key.unrecognized_fields.get(NAME_FIELD) or (len(name) >= _ID_BEGINS and keyid.startswith(name))
    ]


def _named(keys: Mapping[str, Key], name: str, role: str) -> str:
    fits = _fits(keys, name)
    if len(fits) != 1:
        raise DefinitionError(
            f"'{role}' has {'no key' if not fits else 'several keys'} '{name}'",
            where="--remove",
            resolution=f"one of: {', '.join(map(_called, keys.values()))}",
        )
    return fits[0]
