# SPDX-License-Identifier: Apache-2.0
"""A channel's Release: the indexes of one snapshot, dated now, and good until a day that comes soon."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from zaffre.definition import Distribution
from zaffre.errors import DefinitionError, WorldError
from zaffre.place.target import Publishing, Readable, Target
from zaffre.repository.layout import INRELEASE, below, by_hash, snapshot_key
from zaffre.repository.snapshot import heading_of
from zaffre.repository.state import Suite, packed_index, read_suite
from zaffre.trust import ArchiveKey
from zaffre.upstream.deb.release import Release
from zaffre.upstream.keyring import Keyring

CLOCK_TOLERANCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Moved:
    """A channel that was pointed at a snapshot. `before` is where it pointed, None for a new one."""

    channel: str
    snapshot: str
    before: str | None
    date: datetime
    valid_until: datetime
    files: int
    bytes: int

    @property
    def goes_back(self) -> bool:
        """Whether it points at an older snapshot than before."""
        return self.before is not None and snapshot_key(self.snapshot) < snapshot_key(self.before)


@dataclass(frozen=True)
class Hand:
    """Who signs for a distribution's repository, and when."""

    distribution: Distribution
    key: ArchiveKey
    keyring: Keyring
    now: datetime

    def sign(self, text: bytes, *, time: datetime, where: str) -> bytes:
        """A signature that does not hold by Sequoia's word does not leave this process."""
        message = self.key.sign(text, time=time)
        self.keyring.verify(message, now=self.now, where=where)
        return message

    def snapshot_of(self, target: Readable, channel: str) -> str:
        """Where a channel points. Raises DefinitionError for one that is not published."""
        found = read_suite(target, channel, self.keyring, now=self.now)
        if found is None:
            raise DefinitionError(
                f"the channel '{channel}' is not published yet",
                where=target.shown,
                resolution=f"run `zaffre repo build --channel {channel}`, or name a snapshot",
            )
        return found.snapshot


def move_channel(
    target: Target, held: Publishing, hand: Hand, channel: str, source: Suite, *, before: Suite | None
) -> Moved:
    """Point a channel at a published snapshot: its indexes by their hashes first, InRelease last.

    Until InRelease is written, machines see the channel as it was. Raises WorldError when the channel is dated later
    than now, since machines would take the new Release for a replayed old one.
    """
    date = hand.now.replace(microsecond=0)
    if before is not None and before.release.date > date + CLOCK_TOLERANCE:
        raise WorldError(
            f"the channel '{channel}' is dated {before.release.date:%Y-%m-%d %H:%M} UTC, which is in the future",
            where=target.shown,
            details=f"this machine's clock says {date:%Y-%m-%d %H:%M} UTC",
            resolution="set this machine's clock; or wait, if the other one's was wrong",
        )
    if before is not None:
        date = max(date, before.release.date + timedelta(seconds=1))
    own = hand.distribution.own_repository
    heading = replace(
        heading_of(
            hand.distribution,
            channel,
            source.snapshot,
            date=date,
            architectures=tuple(sorted(source.release.architectures)),
        ),
        valid_until=date + timedelta(days=own.valid_days),
        by_hash=True,
    )
    files = written = 0
    for path, fact in source.packed.items():
        place = by_hash(channel, path, fact.sha256)
        if target.size(place) != fact.size:
            data = packed_index(target, source, path)
            held.check()
            target.put(place, data)
            files, written = files + 1, written + fact.size
    message = hand.sign(heading.text(source.release.files), time=date, where=channel)
    held.check()
    target.put(below(channel, INRELEASE), message)
    return Moved(
        channel=channel,
        snapshot=source.snapshot,
        before=before.snapshot if before is not None else None,
        date=date,
        valid_until=date + timedelta(days=own.valid_days),
        files=files + 1,
        bytes=written + len(message),
    )


def is_out_of_date(release: Release, now: datetime) -> bool:
    """Whether machines refuse it already."""
    return release.valid_until is not None and release.valid_until < now
