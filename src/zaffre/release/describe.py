# SPDX-License-Identifier: Apache-2.0
"""What metadata say, in words, taken from the very bytes that are signed: for who is asked for a signature."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from tuf.api.metadata import Role, Root, Targets

from zaffre.follow.client import channels_of
from zaffre.follow.deltas import deltas_of
from zaffre.follow.layout import TOP_ROLES
from zaffre.offer import Listed, Record, version_key
from zaffre.release.change import Change
from zaffre.release.deltas import leading_to
from zaffre.release.keys import key_name
from zaffre.release.metadata import role_of
from zaffre.release.state import records_of


def describe(change: Change, where: str) -> dict[str, tuple[str, ...]]:
    """By role, one line for each thing that its signers answer for.

    Raises IntegrityError for a record that is none.
    """
    return {role: tuple(_lines(role, metadata.signed, where)) for role, metadata in change.roles.items()}


def _lines(role: str, signed: Any, where: str) -> Iterator[str]:
    yield _good(signed.version, signed.expires)
    if isinstance(signed, Root):
        for name in TOP_ROLES:
            yield f"{name} is signed by {_who(signed, role_of(signed, name))}"
    elif isinstance(signed, Targets) and signed.delegations is not None:
        for name in channels_of(signed):
            yield f"{name} is signed by {_who(signed, role_of(signed, name))}"
    elif isinstance(signed, Targets):
        records = records_of(role, signed, where).values()
        deltas = deltas_of(signed.targets)
        for record in sorted(records, key=lambda one: (one.product, version_key(one.version)), reverse=True):
            yield _release(record, deltas)
        if not records:
            yield "no release"


def _good(version: int, expires: datetime) -> str:
    return f"version {version}, good until {expires:%Y-%m-%d %H:%M} UTC"


def _who(signed: Root | Targets, role: Role) -> str:
    return f"{role.threshold} of {', '.join(key_name(signed.get_key(keyid)) for keyid in role.keyids)}"


def _release(record: Record, deltas: Iterable[Listed]) -> str:
    words = [f"{record.product} {record.version}, made {record.created:%Y-%m-%d}"]
    words.append(f"since {record.rollout.begin:%Y-%m-%d %H:%M} UTC at the pace {record.rollout.name}")
    if record.floor is not None:
        words.append(f"floor {record.floor}")
    if record.rollout.stopped is not None:
        words.append("paused")
    if record.revoked is not None:
        words.append(f"REVOKED: {record.revoked.reason}")
    if found := leading_to(record, deltas):
        words.append(f"deltas from {', '.join(found)}")
    return ", ".join(words)
