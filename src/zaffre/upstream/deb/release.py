# SPDX-License-Identifier: Apache-2.0
"""The signed Release of a suite: read, and held against the clock and against what was seen before.

Format: "DebianRepository/Format" in Debian's wiki, section "Release files". A replayed old Release is the
classic attack on an archive; it is met by Valid-Until (or the definition's `max_age_days` where a suite has
none) and by the date that the lock remembers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.upstream.deb.control import parse_stanza
from zaffre.upstream.keyring import Keyring
from zaffre.upstream.lock import LockedSuite

MAX_RELEASE_BYTES = 16 * 1024 * 1024
_MAX_FILES = 200_000
# A machine's clock may be a little slow; apt allows 10 seconds, which fails on machines that just started.
_CLOCK_TOLERANCE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class FileFact:
    """What the Release promises of a file: its digest and its size in bytes."""

    sha256: Sha256
    size: int


@dataclass(frozen=True)
class Release:
    """A verified Release. `files` maps a path below the suite's directory to what it must be.

    `separate_all`: packages for all architectures are in an index of their own.
    """

    text: bytes
    digest: Sha256
    suite: str
    codename: str
    date: datetime
    valid_until: datetime | None
    by_hash: bool
    architectures: frozenset[str]
    separate_all: bool
    files: Mapping[str, FileFact]
    signers: tuple[str, ...]

    def locked(self, *, upstream: str, archive: str, suite: str) -> LockedSuite:
        return LockedSuite(
            upstream=upstream,
            archive=archive,
            suite=suite,
            release_sha256=self.digest,
            date=self.date,
            valid_until=self.valid_until,
        )


def verify_release(
    message: bytes,
    keyring: Keyring,
    *,
    suite: str,
    now: datetime,
    not_before: datetime | None = None,
    max_age: timedelta | None = None,
    where: str,
) -> Release:
    """The Release in an InRelease file, if it is genuine, current, of that suite and not older than `not_before`.

    Raises IntegrityError otherwise.
    """
    verified = keyring.verify(message, now=now, where=where)
    release = parse_release(verified.text, signers=verified.signers, where=where)
    if suite.rstrip("/") not in {release.suite, release.codename}:
        raise IntegrityError(
            f"the Release is of the suite '{release.codename or release.suite}', not of '{suite}'",
            where=where,
            resolution="the mirror serves another suite under this name: use another mirror",
        )
    if release.date > now + _CLOCK_TOLERANCE:
        raise IntegrityError(
            f"the Release is dated {_said(release.date)}, which is in the future",
            where=where,
            details=f"this machine's clock says {_said(now)}",
            resolution="set this machine's clock, then try again",
        )
    limit = release.valid_until
    if limit is None and max_age is not None:
        limit = release.date + max_age
    if limit is not None and limit < now:
        stated = "Valid-Until" if release.valid_until is not None else "max_age_days of the definition"
        raise IntegrityError(
            f"the Release has been out of date since {_said(limit)} ({stated})",
            where=where,
            details=f"it was made on {_said(release.date)}; this machine's clock says {_said(now)}",
            resolution="the mirror is stale, or somebody replays old files: use another mirror (and check the clock)",
        )
    if not_before is not None and release.date < not_before:
        raise IntegrityError(
            f"the Release is older than the one that is locked: {_said(release.date)}, locked {_said(not_before)}",
            where=where,
            resolution="the mirror lags behind, or somebody replays old files: use another mirror, or wait",
        )
    return release


def parse_release(text: bytes, *, signers: tuple[str, ...] = (), where: str) -> Release:
    """Read the text of a Release. Raises IntegrityError for one that is malformed, though it be signed."""
    try:
        fields = parse_stanza(text.decode("utf-8"))
        return Release(
            text=text,
            digest=sha256_bytes(text),
            suite=fields.get("Suite", ""),
            codename=fields.get("Codename", ""),
            date=_time(fields["Date"]),
            valid_until=_time(fields["Valid-Until"]) if "Valid-Until" in fields else None,
            by_hash=fields.get("Acquire-By-Hash", "no") == "yes",
            architectures=frozenset(fields.get("Architectures", "").split()),
            # As apt: an `all` index counts when it is declared and not said to be part of the others.
            separate_all="all" in fields.get("Architectures", "").split()
            and fields.get("No-Support-for-Architecture-all", "") != "Packages",
            files=_files(fields["SHA256"]),
            signers=signers,
        )
    except KeyError as error:
        raise IntegrityError(f"the Release has no field {error.args[0]}", where=where) from error
    except ValueError as error:
        raise IntegrityError("the Release is malformed", where=where, details=str(error)) from error


def _files(section: str) -> dict[str, FileFact]:
    files: dict[str, FileFact] = {}
    for line in section.splitlines():
        if not line.strip():
            continue
        digest, size, path = line.split()
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise ValueError(f"{digest[:80]!r} is not a SHA-256")
        fact = FileFact(Sha256(digest), int(size))
        if fact.size < 0 or files.setdefault(path, fact) != fact:
            raise ValueError(f"{path[:200]!r} is listed twice, or with a size below zero")
        if len(files) > _MAX_FILES:
            raise ValueError(f"it lists more than {_MAX_FILES} files")
    return files


def _time(text: str) -> datetime:
    try:
        value = parsedate_to_datetime(text)
    except (TypeError, IndexError, ValueError) as error:
        raise ValueError(f"{text[:80]!r} is not a date") from error
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _said(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"
