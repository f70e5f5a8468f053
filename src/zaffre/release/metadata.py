# SPDX-License-Identifier: Apache-2.0
"""TUF metadata as values: new versions of each role, signatures, and whether enough of them are there. No files.

The classes are python-tuf's. What they let pass is not believed: `parse` gives what is of the kind that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from securesystemslib.signer import Key
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    DelegatedRole,
    Delegations,
    Metadata,
    MetaFile,
    Role,
    Root,
    Snapshot,
    Targets,
    Timestamp,
)
from tuf.api.serialization import DeserializationError

from zaffre.errors import DefinitionError, IntegrityError
from zaffre.follow.client import SignedT, channels_of
from zaffre.follow.layout import ROOT_ROLE, SNAPSHOT_ROLE, TARGETS_ROLE, TIMESTAMP_ROLE, TOP_ROLES, patterns
from zaffre.release.keys import Ring

AnyMetadata = Metadata[Any]

CHANNEL_DAYS: Final = "channel"
DAYS_FIELD: Final = "x-zaffre-days"
"""In the root: for how many days each role is signed."""
DEFAULT_DAYS: Final[Mapping[str, int]] = {
    ROOT_ROLE: 365,
    TARGETS_ROLE: 365,
    CHANNEL_DAYS: 90,
    SNAPSHOT_ROLE: 7,
    TIMESTAMP_ROLE: 2,
}


@dataclass(frozen=True)
class Trustees:
    """Who signs for a role: at least `threshold` of these keys."""

    keys: tuple[Key, ...]
    threshold: int

    def require(self, role: str) -> None:
        """Raises DefinitionError for a threshold that these keys cannot reach."""
        if len({key.keyid for key in self.keys}) < self.threshold:
            raise DefinitionError(
                f"the threshold of '{role}' can't be reached: {self.threshold} signatures, keys: {len(self.keys)}",
                where=role,
                resolution="give it more keys, or a smaller threshold",
            )


def parse(data: bytes, kind: type[SignedT], where: str) -> Metadata[SignedT]:
    """Metadata of that kind. Raises IntegrityError for anything else; signatures are not looked at."""
    try:
        found: Metadata[Any] = Metadata.from_bytes(data)
    except (DeserializationError, ValueError) as error:
        raise IntegrityError("the file is no TUF metadata", where=where, details=str(error)) from error
    if not isinstance(found.signed, kind):
        raise IntegrityError(f"the file is metadata of another kind: {found.signed.type}", where=where)
    return found


def verify(delegator: Root | Targets, role: str, metadata: AnyMetadata, where: str) -> None:
    """Raises IntegrityError unless enough of the role's keys, as `delegator` names them, have signed."""
    try:
        delegator.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (RepositoryError, ValueError) as error:
        raise IntegrityError(
            "not enough of the role's keys have signed",
            where=where,
            details=str(error),
            resolution="restore the file from a copy that verifies ('zaffre release verify'), or sign it anew",
        ) from error


def is_signed(delegator: Root | Targets, role: str, metadata: AnyMetadata) -> bool:
    return bool(delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures))


def lacking(delegator: Root | Targets, role: str, metadata: AnyMetadata) -> tuple[int, tuple[Key, ...]]:
    """How many signatures are missing still, and the keys that could give them."""
    found = delegator.get_verification_result(role, metadata.signed_bytes, metadata.signatures)
    return found.missing, tuple(found.unsigned.values())


def sign(metadata: AnyMetadata, keyids: Iterable[str], ring: Ring) -> list[str]:
    """Add a signature of each of these keys that is at hand. Returns their ids."""
    done = [keyid for keyid in dict.fromkeys(keyids) if ring.has(keyid)]
    for keyid in done:
        metadata.sign(ring.signer(keyid), append=True)
    return done


def days_of(root: Root, role: str) -> int:
    """For how many days a role of that name is signed; a channel's name counts as `channel`."""
    known = root.unrecognized_fields.get(DAYS_FIELD)
    table: Mapping[str, Any] = {**DEFAULT_DAYS, **(known if isinstance(known, dict) else {})}
    days = table[role if role in TOP_ROLES else CHANNEL_DAYS]
    return days if isinstance(days, int) and days > 0 else DEFAULT_DAYS[CHANNEL_DAYS]


def until(root: Root, role: str, now: datetime) -> datetime:
    return now.replace(microsecond=0) + timedelta(days=days_of(root, role))


def succeed(before: Metadata[SignedT], expires: datetime) -> Metadata[SignedT]:
    """A copy to be changed and signed: the next version, without signatures."""
    signed = deepcopy(before.signed)
    signed.version += 1
    signed.expires = expires
    return Metadata(signed)


def first_root(trustees: Mapping[str, Trustees], days: Mapping[str, int], now: datetime) -> Metadata[Root]:
    """The first root, unsigned. Raises DefinitionError for a threshold that can't be reached."""
    signed = Root(consistent_snapshot=True, unrecognized_fields={DAYS_FIELD: dict(days)})
    for role in TOP_ROLES:
        set_trustees(signed, role, trustees[role])
    signed.expires = until(signed, ROOT_ROLE, now)
    return Metadata(signed)


def set_trustees(root: Root, role: str, trustees: Trustees) -> None:
    """Give a role of the root these keys in the place of those that it has."""
    trustees.require(role)
    for keyid in list(root.roles[role].keyids):
        root.revoke_key(keyid, role)
    for key in trustees.keys:
        root.add_key(key, role)
    root.roles[role].threshold = trustees.threshold


def first_targets(root: Root, channels: Mapping[str, Trustees], now: datetime) -> Metadata[Targets]:
    """The first targets, with one delegation a channel, the first channel the least trusted. Unsigned."""
    signed = Targets(expires=until(root, TARGETS_ROLE, now), delegations=Delegations(keys={}, roles={}))
    for channel, trustees in channels.items():
        set_channel(signed, channel, trustees)
    return Metadata(signed)


def set_channel(targets: Targets, channel: str, trustees: Trustees) -> None:
    """Delegate a channel to these keys, in the place of those that it has."""
    trustees.require(channel)
    delegations = targets.delegations
    if delegations is None or delegations.roles is None:
        raise IntegrityError("the targets delegate to nobody", where=TARGETS_ROLE)
    if channel not in delegations.roles:
        role = DelegatedRole(channel, [], trustees.threshold, terminating=False, paths=patterns(channel))
        delegations.roles = {channel: role, **delegations.roles}
    for keyid in list(delegations.roles[channel].keyids):
        targets.revoke_key(keyid, channel)
    for key in trustees.keys:
        targets.add_key(key, channel)
    delegations.roles[channel].threshold = trustees.threshold


def role_of(delegator: Root | Targets, role: str) -> Role:
    """Raises DefinitionError for a role that there is not."""
    try:
        return delegator.get_delegated_role(role)
    except ValueError as error:
        known = [*TOP_ROLES, *channels_of(delegator)] if isinstance(delegator, Targets) else list(TOP_ROLES)
        raise DefinitionError(f"there is no role '{role}'", resolution=f"one of: {', '.join(known)}") from error


def first_snapshot(root: Root, now: datetime) -> Metadata[Snapshot]:
    return Metadata(Snapshot(version=1, expires=until(root, SNAPSHOT_ROLE, now), meta={}))


def first_timestamp(root: Root, now: datetime) -> Metadata[Timestamp]:
    return Metadata(Timestamp(version=1, expires=until(root, TIMESTAMP_ROLE, now), snapshot_meta=MetaFile(1)))


def described(metadata: AnyMetadata, data: bytes) -> MetaFile:
    """What the next role says of these metadata: version, length and SHA-256, so that none can be mixed with others."""
    return MetaFile.from_data(metadata.signed.version, data, ["sha256"])


def signers_of(delegators: Sequence[Root | Targets], role: str) -> list[str]:
    """The ids of all keys of a role, by each of these delegators; those that do not know it have none."""
    found: list[str] = []
    for delegator in delegators:
        try:
            found += delegator.get_delegated_role(role).keyids
        except ValueError:
            continue
    return list(dict.fromkeys(found))
