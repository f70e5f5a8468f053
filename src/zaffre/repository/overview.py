# SPDX-License-Identifier: Apache-2.0
"""What is published: snapshots and channels, with their sizes and dates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from zaffre.place.target import Listed
from zaffre.repository.channel import is_out_of_date
from zaffre.repository.layout import snapshot_key, snapshot_suite
from zaffre.repository.state import channel_names, pool_files, read_suite, snapshot_names
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.pool import POOL


@dataclass(frozen=True)
class SnapshotLine:
    """`sources` counts files of source packages. `bytes` are those of all its files; `new_bytes` those of files that no
    older snapshot has.
    """

    name: str
    created: datetime
    packages: int
    sources: int
    bytes: int
    new_bytes: int
    channels: tuple[str, ...]


@dataclass(frozen=True)
class ChannelLine:
    name: str
    snapshot: str
    date: datetime
    valid_until: datetime | None
    out_of_date: bool


@dataclass(frozen=True)
class Overview:
    """`pool_bytes` is what all packages take together."""

    where: str
    snapshots: tuple[SnapshotLine, ...]
    channels: tuple[ChannelLine, ...]
    pool_files: int
    pool_bytes: int


def overview(target: Listed, keyring: Keyring, *, now: datetime) -> Overview:
    """Everything that is there. Raises IntegrityError for what our key did not sign."""
    channels = []
    for name in channel_names(target):
        suite = read_suite(target, name, keyring, now=now)
        if suite is not None:
            release = suite.release
            late = is_out_of_date(release, now)
            channels.append(ChannelLine(name, suite.snapshot, release.date, release.valid_until, late))
    lines = []
    seen: set[str] = set()
    for name in snapshot_names(target):
        suite = read_suite(target, snapshot_suite(name), keyring, now=now)
        if suite is None:
            continue
        listed = {file.path: file for file in pool_files(target, suite)}
        files = {path: file.fact.size for path, file in listed.items()}
        sources = sum(file.source for file in listed.values())
        lines.append(
            SnapshotLine(
                name=name,
                created=snapshot_key(name)[0],
                packages=len(files) - sources,
                sources=sources,
                bytes=sum(files.values()),
                new_bytes=sum(size for path, size in files.items() if path not in seen),
                channels=tuple(one.name for one in channels if one.snapshot == name),
            )
        )
        seen |= files.keys()
    pool = target.sizes(POOL)
    return Overview(target.shown, tuple(lines), tuple(channels), len(pool), sum(pool.values()))
