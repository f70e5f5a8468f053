# SPDX-License-Identifier: Apache-2.0
"""What a repository of releases has, at a glance."""

from __future__ import annotations

from datetime import datetime, timedelta

from pydantic import BaseModel, ConfigDict

from zaffre.follow.deltas import deltas_of
from zaffre.follow.layout import ONLINE, TOP_ROLES
from zaffre.offer import Record, version_key
from zaffre.release.deltas import leading_to
from zaffre.release.keys import key_name
from zaffre.release.metadata import role_of
from zaffre.release.state import State

_SOON = timedelta(days=30)


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Listed(_Model):
    """A release in a channel. `state` is "offered", "paused" or "revoked"; `share` of all nodes have had their turn."""

    channel: str
    kind: str
    image: str
    architecture: str
    version: str
    state: str
    share: float | None
    begin: datetime
    floor: str | None
    bytes: int


class DeltaFact(_Model):
    """A delta that a release offers: `file` is made of that of the version `source`."""

    file: str
    source: str
    bytes: int
    path: str


class Shown(Record):
    """A release as it is listed: its record, the bytes of its files, and its deltas."""

    sizes: dict[str, int]
    deltas: tuple[DeltaFact, ...]


class RoleFact(_Model):
    """Until when a role is good, and who signs it. `soon`: it is a role that no publishing renews, and ends within a
    month.
    """

    role: str
    version: int
    expires: datetime
    expired: bool
    soon: bool
    threshold: int
    keys: tuple[str, ...]


class Overview(_Model):
    where: str
    releases: tuple[Listed, ...]
    roles: tuple[RoleFact, ...]


def overview(state: State, now: datetime) -> Overview:
    """Raises IntegrityError for a record that is none."""
    releases = [
        _listed(state, channel, record, now)
        for channel in state.channels
        for record in sorted(
            state.records(channel).values(), key=lambda one: (one.product, version_key(one.version)), reverse=True
        )
    ]
    roles = [_role(state, name, now) for name in (*TOP_ROLES, *state.channels)]
    return Overview(where=state.where, releases=tuple(releases), roles=tuple(roles))


def shown(state: State, channel: str, record: Record) -> Shown:
    """All that a channel has of a release."""
    signed = state.role(channel).signed
    return Shown(
        **dict(record),
        sizes={
            name: signed.targets[path].length for name, path in sorted(record.files.items()) if path in signed.targets
        },
        deltas=tuple(
            DeltaFact(file=one.delta.file, source=version, bytes=one.length, path=one.path)
            for version, found in leading_to(record, deltas_of(signed.targets)).items()
            for one in found
        ),
    )


def _listed(state: State, channel: str, record: Record, now: datetime) -> Listed:
    listed = state.role(channel).signed.targets
    rollout = record.rollout
    standing = "paused" if rollout.stopped else "offered"
    return Listed(
        channel=channel,
        kind=record.kind,
        image=record.image,
        architecture=record.architecture,
        version=record.version,
        state="revoked" if record.revoked else standing,
        share=None if record.revoked else rollout.schedule.share(rollout.elapsed(now)),
        begin=rollout.begin,
        floor=record.floor,
        bytes=sum(listed[path].length for path in record.files.values() if path in listed),
    )


def _role(state: State, name: str, now: datetime) -> RoleFact:
    holder = state.root.signed if name in TOP_ROLES else state.targets.signed
    role, signed = role_of(holder, name), state.role(name).signed
    return RoleFact(
        role=name,
        version=signed.version,
        expires=signed.expires,
        expired=signed.is_expired(now),
        soon=name not in ONLINE and now + _SOON > signed.expires,
        threshold=role.threshold,
        keys=tuple(key_name(holder.get_key(keyid)) for keyid in role.keyids),
    )
