# SPDX-License-Identifier: Apache-2.0
"""What is published, read and verified from a root of trust by whoever is about to publish more.

The rules are the client's but one: what has expired is read all the same, since mending that takes publishing. Who only
wants to know whether a repository is good asks `release.verify`, which goes by python-tuf's own client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError
from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, Targets, Timestamp

from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.follow.client import SignedT, channels_of
from zaffre.follow.layout import (
    MAX_METADATA,
    MAX_ROOTS,
    RELEASE_FILE,
    ROOT_ROLE,
    SNAPSHOT_ROLE,
    TARGETS_ROLE,
    TIMESTAMP_ROLE,
    metadata_place,
    release_path,
)
from zaffre.offer import Record
from zaffre.place.target import Readable
from zaffre.release.metadata import parse, verify


@dataclass(frozen=True)
class State:
    """All metadata of one moment, each verified by those that vouch for it."""

    where: str
    root: Metadata[Root]
    targets: Metadata[Targets]
    channels: Mapping[str, Metadata[Targets]]
    snapshot: Metadata[Snapshot]
    timestamp: Metadata[Timestamp]

    def role(self, name: str) -> Metadata[Any]:
        """The metadata of a role by its name. Raises DefinitionError for one that there is not."""
        top: dict[str, Metadata[Any]] = {
            ROOT_ROLE: self.root,
            TARGETS_ROLE: self.targets,
            SNAPSHOT_ROLE: self.snapshot,
            TIMESTAMP_ROLE: self.timestamp,
        }
        found = {**self.channels, **top}.get(name)
        if found is None:
            raise DefinitionError(
                f"there is no channel '{name}' here",
                where=self.where,
                resolution=f"one of: {', '.join(self.channels)}",
            )
        return found

    def records(self, channel: str) -> dict[str, Record]:
        """A channel's releases by their targets' paths. Raises IntegrityError for a record that is none."""
        return records_of(channel, self.role(channel).signed, self.where)

    def require_current(self, now: datetime) -> None:
        """Raises FindingError when a role has expired that no publishing renews: no node would take what comes."""
        for name, metadata in ((ROOT_ROLE, self.root), (TARGETS_ROLE, self.targets)):
            if metadata.signed.is_expired(now):
                raise FindingError(
                    f"the metadata of '{name}' expired on {metadata.signed.expires:%Y-%m-%d}: nodes refuse all that is "
                    "published here",
                    where=self.where,
                    resolution=f"sign them anew first: zaffre release refresh {self.where} --role {name}",
                )


def records_of(channel: str, targets: Targets, where: str) -> dict[str, Record]:
    """The records in a channel's metadata, by their targets' paths."""
    found: dict[str, Record] = {}
    for path, target in targets.targets.items():
        if not (path.startswith(f"{channel}/") and path.endswith(f"/{RELEASE_FILE}")):
            continue
        try:
            record = Record.model_validate(target.custom)
        except ValidationError as error:
            raise IntegrityError(
                "a release has no record that can be read", where=f"{where}: {path}", details=str(error)
            ) from error
        if path != release_path(channel, record.product, record.version):
            raise IntegrityError("a release lies under another name than its record has", where=f"{where}: {path}")
        found[path] = record
    return found


def load_state(place: Readable, trusted: bytes, *, ahead: bytes | None = None) -> State:
    """Read and verify what is published.

    `trusted` is a root that the caller believes; newer ones are followed. `ahead` is a root that is to be published,
    and counts as the newest. Raises DefinitionError where nothing is published, IntegrityError for what does not
    verify, WorldError when the place cannot be read.
    """
    root = newest_root(place, trusted, ahead=ahead)
    timestamp = _read(place, TIMESTAMP_ROLE, 0, Timestamp)
    verify(root.signed, TIMESTAMP_ROLE, timestamp, f"{place.shown}/{metadata_place(TIMESTAMP_ROLE, 0)}")
    snapshot = _listed(place, SNAPSHOT_ROLE, timestamp.signed.snapshot_meta, Snapshot, root.signed)
    targets = _listed(place, TARGETS_ROLE, _meta(snapshot, TARGETS_ROLE, place), Targets, root.signed)
    channels = {
        channel: _listed(place, channel, _meta(snapshot, channel, place), Targets, targets.signed)
        for channel in channels_of(targets.signed)
    }
    return State(place.shown, root, targets, channels, snapshot, timestamp)


def newest_root(place: Readable, trusted: bytes, *, ahead: bytes | None = None) -> Metadata[Root]:
    """The newest root that the trusted one leads to, each signed by its predecessor's keys and its own."""
    root = parse(trusted, Root, "the root of trust")
    verify(root.signed, ROOT_ROLE, root, "the root of trust")
    for _ in range(MAX_ROOTS):
        path = metadata_place(ROOT_ROLE, root.signed.version + 1)
        data = place.read(path, limit=MAX_METADATA)
        if data is None:
            break
        root = _next_root(root, data, f"{place.shown}/{path}")
    if ahead is not None and parse(ahead, Root, "the next root").signed.version == root.signed.version + 1:
        root = _next_root(root, ahead, "the next root")
    return root


def follow_roots(roots: Sequence[bytes], where: str) -> None:
    """Raises IntegrityError unless each root is signed by the keys of the one before it, and its own."""
    before = parse(roots[0], Root, where)
    verify(before.signed, ROOT_ROLE, before, where)
    for data in roots[1:]:
        before = _next_root(before, data, where)


def _next_root(before: Metadata[Root], data: bytes, where: str) -> Metadata[Root]:
    after = parse(data, Root, where)
    if after.signed.version != before.signed.version + 1:
        raise IntegrityError("the root has another version than its name says", where=where)
    verify(before.signed, ROOT_ROLE, after, where)
    verify(after.signed, ROOT_ROLE, after, where)
    return after


def _meta(snapshot: Metadata[Snapshot], role: str, place: Readable) -> MetaFile:
    found = snapshot.signed.meta.get(f"{role}.json")
    if found is None:
        raise IntegrityError(f"the snapshot does not know '{role}'", where=place.shown)
    return found


def _listed(place: Readable, role: str, meta: MetaFile, kind: type[SignedT], by: Root | Targets) -> Metadata[SignedT]:
    where = f"{place.shown}/{metadata_place(role, meta.version)}"
    data = _bytes(place, role, meta.version)
    try:
        meta.verify_length_and_hashes(data)
    except RepositoryError as error:
        raise IntegrityError("the file is not the one that is listed", where=where, details=str(error)) from error
    found = parse(data, kind, where)
    if found.signed.version != meta.version:
        raise IntegrityError("the metadata have another version than is listed", where=where)
    verify(by, role, found, where)
    return found


def _read(place: Readable, role: str, version: int, kind: type[SignedT]) -> Metadata[SignedT]:
    return parse(_bytes(place, role, version), kind, f"{place.shown}/{metadata_place(role, version)}")


def _bytes(place: Readable, role: str, version: int) -> bytes:
    path = metadata_place(role, version)
    data = place.read(path, limit=MAX_METADATA)
    if data is None and role == TIMESTAMP_ROLE:
        raise DefinitionError(
            "no releases are published here",
            where=place.shown,
            resolution="check the place, or begin with 'zaffre release init'",
        )
    if data is None:
        raise IntegrityError("the metadata are incomplete", where=f"{place.shown}/{path}", details="it is not there")
    return data
