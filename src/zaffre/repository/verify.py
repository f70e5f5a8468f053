# SPDX-License-Identifier: Apache-2.0
"""A published repository held against its signatures: everything that a machine would believe, and the pool below."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from zaffre.errors import IntegrityError
from zaffre.place.target import Listed, Readable
from zaffre.progress import Progress
from zaffre.repository.channel import is_out_of_date
from zaffre.repository.layout import snapshot_suite
from zaffre.repository.state import (
    PoolFile,
    Suite,
    channel_names,
    no_repository,
    pool_files,
    read_suite,
    snapshot_names,
)
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.pool import POOL

_READERS = 8
_MOST_NAMED = 10


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


def verify_repository(
    target: Readable,
    keyring: Keyring,
    *,
    channels: Sequence[str],
    now: datetime,
    quick: bool,
    progress: Progress,
) -> VerifyReport:
    """Check signatures, ages, indexes, and that each package is there, with its size and, unless `quick`, its digest.

    Of what cannot be listed (HTTP), the `channels` and the snapshots that they name are looked at; else everything.
    Raises DefinitionError when there is no repository, WorldError when the place cannot be read.
    """
    suites, checks = _suites(target, keyring, channels, now)
    if not suites and not checks:
        raise no_repository(target)
    files: dict[str, PoolFile] = {}
    for suite in suites:
        check, mine = _check_suite(target, suite, suites, now)
        checks.append(check)
        files.update(mine)
    checks.append(_check_pool(target, list(files.values()), quick=quick, progress=progress))
    return VerifyReport(target.shown, tuple(checks))


def _suites(
    target: Readable, keyring: Keyring, channels: Sequence[str], now: datetime
) -> tuple[list[Suite], list[Check]]:
    """What is there and signed, and a failed check for each that is there and isn't."""
    found: dict[str, Suite] = {}
    bad: list[Check] = []

    def read(name: str) -> None:
        if name in found or any(check.name == name for check in bad):
            return
        try:
            suite = read_suite(target, name, keyring, now=now)
        except IntegrityError as error:
            bad.append(Check(name, ok=False, detail=_words(error)))
            return
        if suite is not None:
            found[name] = suite

    names = list(channels)
    if isinstance(target, Listed):
        names += channel_names(target)
        for snapshot in snapshot_names(target):
            read(snapshot_suite(snapshot))
    for channel in dict.fromkeys(names):
        read(channel)
    for suite in list(found.values()):
        read(snapshot_suite(suite.snapshot))
    return sorted(found.values(), key=lambda suite: (suite.is_channel, suite.name)), bad


def _check_suite(
    target: Readable, suite: Suite, suites: Sequence[Suite], now: datetime
) -> tuple[Check, dict[str, PoolFile]]:
    source = next((one for one in suites if one.name == snapshot_suite(suite.snapshot)), None)
    try:
        files = {one.path: one for one in pool_files(target, suite)}
    except IntegrityError as error:
        return Check(suite.name, ok=False, detail=_words(error)), {}
    if source is None:
        return Check(suite.name, ok=False, detail=f"its snapshot {suite.snapshot} is not there"), files
    if dict(source.release.files) != dict(suite.release.files):
        return Check(suite.name, ok=False, detail=f"it does not have the indexes of snapshot {suite.snapshot}"), files
    until = suite.release.valid_until
    if suite.is_channel and (until is None or is_out_of_date(suite.release, now)):
        said = f"out of date since {until:%Y-%m-%d %H:%M} UTC" if until else "it never goes out of date"
        return Check(suite.name, ok=False, detail=f"{said}: run `zaffre repo refresh`"), files
    said = f"at {suite.snapshot}, good until {until:%Y-%m-%d %H:%M} UTC" if until else "signed, complete"
    return Check(suite.name, ok=True, detail=f"{said}; {_counted(list(files.values()))}"), files


def _counted(files: Sequence[PoolFile]) -> str:
    sources = sum(file.source for file in files)
    return f"{len(files) - sources} packages" + (f", {sources} files of sources" if sources else "")


def _check_pool(target: Readable, files: Sequence[PoolFile], *, quick: bool, progress: Progress) -> Check:
    sizes = target.sizes(POOL) if isinstance(target, Listed) else None
    bad: list[str] = []
    total = sum(one.fact.size for one in files)
    with progress.transfer(_counted(files), total) as advance, ThreadPoolExecutor(_READERS) as pool:

        def fault(file: PoolFile) -> str | None:
            size = sizes.get(file.path) if sizes is not None else target.size(file.path)
            found = _fault(target, file, size, quick=quick)
            advance(file.fact.size)
            return found

        bad = [reason for reason in pool.map(fault, files) if reason is not None]
    if bad:
        more = f"\n… and {len(bad) - _MOST_NAMED} more" if len(bad) > _MOST_NAMED else ""
        return Check(POOL, ok=False, detail="\n".join(bad[:_MOST_NAMED]) + more)
    looked = "present with their sizes" if quick else "present with their digests"
    return Check(POOL, ok=True, detail=f"{_counted(files)}, {total / 1e6:.1f} MB, {looked}")


def _fault(target: Readable, file: PoolFile, size: int | None, *, quick: bool) -> str | None:
    if size is None:
        return f"{file.name}: it is missing ({file.path})"
    if size != file.fact.size:
        return f"{file.name}: it has {size} bytes and not {file.fact.size} ({file.path})"
    if quick:
        return None
    digest = hashlib.sha256()
    for chunk in target.chunks(file.path):
        digest.update(chunk)
    return None if digest.hexdigest() == file.fact.sha256 else f"{file.name}: it has another content ({file.path})"


def _words(error: IntegrityError) -> str:
    return f"{error.brief}: {error.details}" if error.details else error.brief
