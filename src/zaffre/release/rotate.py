# SPDX-License-Identifier: Apache-2.0
"""Who signs: the first root, and roles that get other keys. Pure: from a state to a change.

A key that is replaced may be lost or stolen: the new root does not name it any more, and nodes drop what only it has
signed, timestamps and snapshots from a wild future included (TUF 5.3.11, recovery from fast-forward attacks).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Targets

from zaffre.errors import DefinitionError
from zaffre.release.change import Change
from zaffre.release.keys import NAME_FIELD, Ring
from zaffre.release.layout import ROOT_ROLE, TARGETS_ROLE, TOP_ROLES, require_channel
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


def rotate(
    state: State, role: str, remove: Sequence[str], add: Sequence[Key], threshold: int | None, *, now: datetime
) -> Change:
    """Take keys (names or ids) from a role and give it others.

    Raises DefinitionError for a key that the role does not have, for one that it has already, and for a threshold that
    the keys then can't reach.
    """
    holder: AnyMetadata = state.root if role in TOP_ROLES else state.targets
    before = role_of(holder.signed, role)
    keys = {keyid: holder.signed.get_key(keyid) for keyid in before.keyids}
    gone = {_named(keys, name, role) for name in remove}
    if twice := [key for key in add if key.keyid in keys]:
        raise DefinitionError(f"'{role}' has this key already: {twice[0].keyid[:16]}", where=role)
    if not gone and not add and threshold is None:
        raise DefinitionError("nothing would change", where=role, resolution="name a key by --remove or --add")
    left = tuple(key for keyid, key in keys.items() if keyid not in gone)
    trustees = Trustees((*left, *add), before.threshold if threshold is None else threshold)
    if role in TOP_ROLES:
        root = succeed(state.root, until(state.root.signed, ROOT_ROLE, now))
        set_trustees(root.signed, role, trustees)
        roles: dict[str, AnyMetadata] = {ROOT_ROLE: root}
        if role == TARGETS_ROLE:
            roles[TARGETS_ROLE] = succeed(state.targets, until(root.signed, TARGETS_ROLE, now))
    else:
        targets = succeed(state.targets, until(state.root.signed, TARGETS_ROLE, now))
        set_channel(targets.signed, role, trustees)
        roles = {TARGETS_ROLE: targets, role: succeed(state.channels[role], until(state.root.signed, role, now))}
    words = [*(f"-{name}" for name in remove), *(f"+{key.unrecognized_fields.get(NAME_FIELD)}" for key in add)]
    return Change(f"keys of '{role}': {' '.join(words)}, {trustees.threshold} of {len(trustees.keys)}", roles)


def _named(keys: Mapping[str, Key], name: str, role: str) -> str:
    fits = [
        keyid
        for keyid, key in keys.items()
        if name == key.unrecognized_fields.get(NAME_FIELD) or (len(name) >= 8 and keyid.startswith(name))
    ]
    if len(fits) != 1:
        known = ", ".join(str(key.unrecognized_fields.get(NAME_FIELD, keyid[:16])) for keyid, key in keys.items())
        raise DefinitionError(
            f"'{role}' has {'no key' if not fits else 'several keys'} '{name}'",
            where="--remove",
            resolution=f"one of: {known}",
        )
    return fits[0]
