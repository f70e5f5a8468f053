# SPDX-License-Identifier: Apache-2.0
"""Whether a repository, or a stranger's mirror of it, is whole, fresh and complete, from a root of trust.

Metadata are verified by python-tuf's own client, as a node does it; then every target of every channel is read. With a
folder that keeps what was seen, a mirror that shows something older than the last time is found out, too.
"""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tuf.api import exceptions
from tuf.api.metadata import Signed, TargetFile, Targets

from zaffre.errors import IntegrityError, ZaffreError
from zaffre.follow.client import SECONDS, Follower, channels_of
from zaffre.follow.deltas import deltas_of
from zaffre.follow.layout import MAX_METADATA, POOL, ROOT_ROLE, TARGETS, metadata_place, pool_path, target_place
from zaffre.offer import Record
from zaffre.offer.delta import SUFFIX
from zaffre.place.target import Readable
from zaffre.progress import Progress
from zaffre.release.state import follow_roots, records_of

_READERS = 4
_MOST_NAMED = 10
SLOWEST = 50_000
"""Bytes a second that a file must come with, beside the time that any file may take."""


@dataclass(frozen=True)
class Check:
    """One thing that was looked at; `detail` says what was found."""

    name: str
    ok: bool
    detail: str


@dataclass(frozen=True)
class VerifyReport:
    where: str
    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def verify_releases(
    place: Readable,
    trusted: bytes,
    *,
    memory: Path | None,
    now: datetime,
    quick: bool,
    progress: Progress,
    seconds: float = SECONDS,
) -> VerifyReport:
    """Look at everything. `memory` keeps what was seen; `quick` looks at sizes of targets and does not read them.

    Raises IntegrityError for a root of trust that is none.
    """
    with tempfile.TemporaryDirectory(prefix="zaffre-verify-") as scratch:
        try:
            follower = Follower(place, memory or Path(scratch), trusted, seconds=seconds)
        except exceptions.RepositoryError as error:
            raise IntegrityError("the root of trust is none", where="--root", details=str(error)) from error
        try:
            follower.refresh()
        except (exceptions.RepositoryError, exceptions.DownloadError) as error:
            return VerifyReport(place.shown, (Check("metadata", ok=False, detail=words(error)),))
        checks = [_dated(one, now) for one in (follower.root, follower.timestamp, follower.snapshot, follower.targets)]
        checks.append(_roots(place, follower.root.version))
        files: dict[str, TargetFile] = {}
        for channel in channels_of(follower.targets):
            check, listed = _channel(follower, channel, place, now)
            checks.append(check)
            files.update(listed)
        checks.append(_files(place, files, quick=quick, seconds=seconds, progress=progress))
    return VerifyReport(place.shown, tuple(checks))


def words(error: exceptions.RepositoryError | exceptions.DownloadError) -> str:
    """What python-tuf found, in words that say what it means."""
    meaning = next((said for kind, said in _MEANINGS if isinstance(error, kind)), "it does not verify")
    return f"{meaning}: {error}" if str(error) else meaning


_MEANINGS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ExpiredMetadataError, "out of date, as nobody has refreshed it, or an old state is shown"),
    (exceptions.UnsignedMetadataError, "too few of the keys that count have signed"),
    (exceptions.BadVersionNumberError, "an older state is shown than was seen, or parts of two states"),
    (exceptions.LengthOrHashMismatchError, "a file is not the one that is listed"),
    (exceptions.DownloadLengthMismatchError, "a file is larger than it may be"),
    (exceptions.SlowRetrievalError, "a file comes too slowly"),
    (exceptions.DownloadHTTPError, "a file is missing"),
    (exceptions.DownloadError, "the place does not answer as it should"),
)


def _dated(signed: Signed, now: datetime) -> Check:
    name = f"{signed.type} {signed.version}"
    if signed.is_expired(now):
        return Check(name, ok=False, detail=f"out of date since {signed.expires:%Y-%m-%d %H:%M} UTC")
    return Check(name, ok=True, detail=f"signed, good until {signed.expires:%Y-%m-%d %H:%M} UTC")


def _roots(place: Readable, newest: int) -> Check:
    """Each root that there ever was: nodes that were off for long need them all, one after the other."""
    try:
        found = [
            (version, place.read(metadata_place(ROOT_ROLE, version), limit=MAX_METADATA))
            for version in range(1, newest + 1)
        ]
        missing = [str(version) for version, data in found if data is None]
        if missing:
            return Check("roots", ok=False, detail=f"missing: {', '.join(missing)}")
        follow_roots([data for _, data in found if data is not None], place.shown)
    except ZaffreError as error:
        return Check("roots", ok=False, detail=f"{error}: {error.details}" if error.details else str(error))
    return Check("roots", ok=True, detail=f"{newest}, each signed by the one before it")


def _channel(follower: Follower, channel: str, place: Readable, now: datetime) -> tuple[Check, dict[str, TargetFile]]:
    """A channel's metadata, its records, and that all that a record names is listed, and nothing under another name."""
    try:
        signed = follower.channel(channel)
        records = records_of(channel, signed, place.shown)
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        return Check(channel, ok=False, detail=words(error)), {}
    except IntegrityError as error:
        return Check(channel, ok=False, detail=f"{error}: {error.details}" if error.details else str(error)), {}
    faults = [*_odd(follower.targets, channel, signed.targets)]
    for record in records.values():
        absent = sorted(name for name, path in record.files.items() if path not in signed.targets)
        if absent:
            faults.append(f"{record.product} {record.version} names files that are not listed: {', '.join(absent)}")
    faults += _loose_deltas(signed, records.values())
    dated = _dated(signed, now)
    if faults or not dated.ok:
        return Check(channel, ok=False, detail="\n".join([*faults, *([] if dated.ok else [dated.detail])])), {}
    deltas = len(deltas_of(signed.targets))
    counted = f"releases: {len(records)}" + (f", deltas: {deltas}" if deltas else "")
    return Check(channel, ok=True, detail=f"{dated.detail}; {counted}"), dict(signed.targets)


def _loose_deltas(signed: Targets, records: Iterable[Record]) -> Iterator[str]:
    """What is named like a delta, and is none from a file of the channel to another one."""
    known = {one.path: one.delta for one in deltas_of(signed.targets)}
    files = {path for record in records for path in record.files.values()}
    for path in signed.targets:
        if not path.endswith(SUFFIX) or path in files:
            continue
        delta = known.get(path)
        if delta is None:
            yield f"{path}: it does not say what it is a delta of"
        elif not {pool_path(end.sha256, delta.file) for end in (delta.source, delta.target)} <= files:
            yield f"{path}: it is a delta of what no release here has"


def _odd(targets: Targets, channel: str, listed: Mapping[str, TargetFile]) -> Iterator[str]:
    roles = targets.delegations.roles if targets.delegations else None
    role = (roles or {})[channel]
    for path, target in listed.items():
        digest = target.hashes.get("sha256")
        if not role.is_delegated_path(path) or set(path.split("/")) & {"", ".", ".."}:
            yield f"{path}: the channel may not sign for this path"
        elif digest is None:
            yield f"{path}: it has no SHA-256"
        elif path.startswith(f"{POOL}/") and path.split("/")[1] != digest:
            yield f"{path}: it lies under the name of another content"


def _files(
    place: Readable, files: Mapping[str, TargetFile], *, quick: bool, seconds: float, progress: Progress
) -> Check:
    total = sum(target.length for target in files.values())
    with progress.transfer(f"{len(files)} files", total) as advance, ThreadPoolExecutor(_READERS) as pool:

        def fault(item: tuple[str, TargetFile]) -> str | None:
            try:
                return _fault(place, *item, quick=quick, seconds=seconds)
            except ZaffreError as error:
                return f"{item[0]}: {error.details or error.brief}"
            finally:
                advance(item[1].length)

        bad = [reason for reason in pool.map(fault, files.items()) if reason is not None]
    if bad:
        more = f"\n… and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
        return Check(TARGETS, ok=False, detail="\n".join(bad[:_MOST_NAMED]) + more)
    looked = "present with their sizes" if quick else "present with their digests"
    return Check(TARGETS, ok=True, detail=f"{len(files)} files, {total / 1e6:.1f} MB, {looked}")


def _fault(
    place: Readable,
    path: str,
    target: TargetFile,
    *,
    quick: bool,
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> str | None:
    where = target_place(path, target.hashes["sha256"])
    size = place.size(where)
    if size is None:
        return f"{path}: it is missing"
    if size != target.length:
        return f"{path}: it has {size} bytes and not {target.length}"
    if quick:
        return None
    digest, have, end = hashlib.sha256(), 0, clock() + seconds + target.length / SLOWEST
    for chunk in place.chunks(where):
        have += len(chunk)
        if have > target.length:
            return f"{path}: it goes on after its {target.length} bytes"
        if clock() > end:
            return f"{path}: it comes too slowly"
        digest.update(chunk)
    return None if digest.hexdigest() == target.hashes["sha256"] else f"{path}: it has another content"
