# SPDX-License-Identifier: Apache-2.0
"""What is to be published: new metadata of some roles, and the signatures that they still lack.

A change has the roles that people answer for: root, targets, channels. Snapshot and timestamp only list them, and are
made when a change is published. While a role's keys are replaced, the old ones sign as well as the new ones where they
are at hand: then nodes that have not seen the new root yet, and those that have, believe the same files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from securesystemslib.signer import Key
from tuf.api.metadata import Metadata, Root, Targets

from zaffre.errors import FindingError
from zaffre.follow.layout import ROOT_ROLE, TARGETS_ROLE, TOP_ROLES
from zaffre.release.keys import Ring, key_name
from zaffre.release.metadata import AnyMetadata, is_signed, lacking, sign, signers_of
from zaffre.release.state import State


@dataclass(frozen=True)
class Missing:
    """That `count` more signatures are needed for a role, by any of these keys."""

    role: str
    count: int
    keys: tuple[Key, ...]

    @property
    def words(self) -> str:
        return f"{self.role}: {self.count} more of {', '.join(map(key_name, self.keys)) or 'no key that is left'}"


@dataclass(frozen=True)
class Change:
    """New metadata by role; `title` says in words what it does."""

    title: str
    roles: Mapping[str, AnyMetadata]

    @property
    def root(self) -> Metadata[Root] | None:
        return self.roles.get(ROOT_ROLE)

    @property
    def channels(self) -> dict[str, Metadata[Targets]]:
        return {name: metadata for name, metadata in self.roles.items() if name not in TOP_ROLES}

    def delegators(self, state: State | None, role: str) -> list[Root | Targets]:
        """Who says which keys a role has: first the one that will, then the one that does."""
        name = ROOT_ROLE if role in TOP_ROLES else TARGETS_ROLE
        after = self.roles.get(name)
        before = None if state is None else state.role(name)
        return [one.signed for one in (after, before) if one is not None]

    def signed_by(self, ring: Ring, state: State | None) -> list[str]:
        """Sign each role with the keys at hand. Returns the ids of those that did."""
        done: list[str] = []
        for role, metadata in self.roles.items():
            done += sign(metadata, signers_of(self.delegators(state, role), role), ring)
        return list(dict.fromkeys(done))

    def missing(self, state: State | None) -> tuple[Missing, ...]:
        """What is lacking until it can be published; a root needs the keys of the root before it, too."""
        found: list[Missing] = []
        for role, metadata in self.roles.items():
            delegators = self.delegators(state, role)
            for delegator in delegators if role == ROOT_ROLE else delegators[:1]:
                one = Missing(role, *lacking(delegator, role, metadata))
                if one.count and one not in found:
                    found.append(one)
        return tuple(found)

    def require_signed(self, state: State | None, where: str) -> None:
        """Raises FindingError with what is lacking."""
        if missing := self.missing(state):
            raise FindingError(
                "signatures are missing",
                where=where,
                details="\n".join(one.words for one in missing),
                resolution="have them signed by who holds these keys: zaffre release sign PENDING --signers DIR",
            )

    def require_next(self, state: State | None, where: str) -> None:
        """Raises FindingError when somebody else has published the same roles meanwhile."""
        for role, metadata in self.fresh(state).items():
            current = _current(state, role)
            version = current.signed.version if current is not None else 0
            if metadata.signed.version != version + 1:
                raise FindingError(
                    f"'{role}' is at version {version}, and this change would make it {metadata.signed.version}",
                    where=where,
                    details="somebody has published since it was made",
                    resolution="make the change again, from what is published now, and have it signed again",
                )

    def fresh(self, state: State | None) -> dict[str, AnyMetadata]:
        """The roles that are not published as they are here already, by a run that ended early."""
        return {
            role: metadata
            for role, metadata in self.roles.items()
            if (now := _current(state, role)) is None or now.signed_bytes != metadata.signed_bytes
        }


def _current(state: State | None, role: str) -> AnyMetadata | None:
    if state is None or (role not in TOP_ROLES and role not in state.channels):
        return None
    return state.role(role)


def require_online(
    metadata: AnyMetadata, role: str, delegators: Sequence[Root | Targets], ring: Ring, where: str
) -> None:
    """Sign a role that is signed at each publishing. Raises FindingError when its keys are not at hand."""
    sign(metadata, signers_of(delegators, role), ring)
    if not is_signed(delegators[0], role, metadata):
        count, keys = lacking(delegators[0], role, metadata)
        raise FindingError(
            f"the keys of '{role}' are not at hand, and nothing is published without them",
            where=where,
            details=Missing(role, count, keys).words,
            resolution="name the folder that has them by --signers",
        )
