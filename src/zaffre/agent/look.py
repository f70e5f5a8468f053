# SPDX-License-Identifier: Apache-2.0
"""A look at the channel: what it offers to this node, verified, and where the files of each release lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from tuf.api.exceptions import DownloadError, ExpiredMetadataError, RepositoryError
from tuf.api.metadata import Metadata, TargetFile, Targets

from zaffre.agent.handover import ORDER, Expected
from zaffre.agent.source import Place
from zaffre.errors import FindingError, IntegrityError, WorldError
from zaffre.follow.client import Follower
from zaffre.follow.deltas import deltas_of
from zaffre.follow.layout import TIMESTAMP_ROLE, TOP_ROLES, release_path, target_place
from zaffre.offer import Listed, Record
from zaffre.slots import incoming_names

TRUSTED: Final = Path("/usr/lib/zaffre/root.json")
"""The root of trust in the image."""
EXTENSION: Final = "extension.raw"
"""The file of a release of an extension."""


@dataclass(frozen=True)
class Offers:
    """`records` are all releases of the node's product; `unread` counts those that this agent does not understand."""

    records: tuple[Record, ...]
    targets: Mapping[str, TargetFile]
    unread: int = 0

    def record(self, version: str) -> Record:
        return next(one for one in self.records if one.version == version)

    def names(self, version: str) -> Mapping[str, str]:
        """Under which names its files are handed over. Raises FindingError for a release without a verified root."""
        record = self.record(version)
        if record.root_hash is None:
            raise FindingError(
                "the release has no root hash", where=version, resolution="it is none of a host with two slots"
            )
        return incoming_names(record.image, version, record.root_hash)

    @property
    def deltas(self) -> tuple[Listed, ...]:
        return deltas_of(self.targets)

    def files(self, version: str) -> dict[str, Expected]:
        """What is handed over of a version. Raises FindingError for a release that lacks one of these files."""
        record = self.record(version)
        return {name: self._expected(record, name) for name in ORDER}

    def extension(self, version: str) -> Expected:
        """What is laid over of a version. Raises FindingError for a release that is of no extension."""
        record = self.record(version)
        if record.kind == "host":
            raise FindingError("it is the release of a host, and no extension", where=version)
        return self._expected(record, EXTENSION)

    def _expected(self, record: Record, name: str) -> Expected:
        path = record.files.get(name)
        target = self.targets.get(path) if path else None
        digest = target.hashes.get("sha256") if target else None
        if path is None or target is None or digest is None or path.split("/")[1] != digest:
            raise FindingError(
                f"the release has no {name} that its channel signs for",
                where=record.version,
                resolution="nodes need that file of it: publish another one",
            )
        return Expected(target_place(path, digest), target.length, digest)


def look(place: Place, folder: Path, trusted: bytes, channel: str, product: str) -> Offers:
    """Refresh, and read what is offered. Raises IntegrityError for what does not verify, WorldError for what can't be
    had; what was believed before stays.
    """
    try:
        follower = Follower(place, folder, trusted)
        follower.refresh()
        return offers(follower.channel(channel).targets, channel, product)
    except ExpiredMetadataError as error:
        raise IntegrityError(
            "what the channel says has expired",
            where=channel,
            details=f"{error}; this node's clock says {datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
            resolution="set the clock if it is wrong; else whoever publishes must run 'zaffre release refresh'",
        ) from error
    except RepositoryError as error:
        raise IntegrityError(
            "what the channel says does not verify; nothing of it is believed",
            where=channel,
            details=str(error),
            resolution="tell whoever runs this mirror; 'zaffre release verify' says more",
        ) from error
    except DownloadError as error:
        raise WorldError(
            "what the channel says can't be had",
            where=channel,
            details=str(error),
            resolution="check 'place' in the settings and the network; the next run tries again",
        ) from error


def remembered(folder: Path, channel: str, product: str) -> Offers | None:
    """What the last look believed, without the network; None when there was none."""
    path = folder / f"{channel}.json"
    try:
        found: Metadata[Any] = Metadata.from_bytes(path.read_bytes())
    except (OSError, RepositoryError, ValueError):
        return None
    if not isinstance(found.signed, Targets):
        return None
    return offers(found.signed.targets, channel, product)


def offers(targets: Mapping[str, TargetFile], channel: str, product: str) -> Offers:
    """The releases in a channel's metadata that are for this product. One in a form that is not understood is none."""
    records: list[Record] = []
    unread = 0
    for path, target in targets.items():
        if not path.startswith(f"{channel}/{product}/"):
            continue
        try:
            record = Record.model_validate(target.custom)
        except ValidationError:
            unread += 1
            continue
        if path == release_path(channel, record.product, record.version):
            records.append(record)
        else:
            unread += 1
    return Offers(tuple(records), targets, unread)


def ages(folder: Path, channel: str) -> dict[str, datetime]:
    """Until when each of the metadata that were last believed is good."""
    found: dict[str, datetime] = {}
    for role in (*TOP_ROLES, channel):
        try:
            found[role] = Metadata.from_bytes((folder / f"{role}.json").read_bytes()).signed.expires
        except (OSError, RepositoryError, ValueError):
            continue
    return found


def looked(folder: Path) -> datetime | None:
    """When the timestamp was last written, which is with each new state that was seen."""
    try:
        return datetime.fromtimestamp((folder / f"{TIMESTAMP_ROLE}.json").stat().st_mtime, UTC)
    except OSError:
        return None
