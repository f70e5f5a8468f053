# SPDX-License-Identifier: Apache-2.0
"""repomd.xml: the root of a repository of RPM packages, read and held against the clock and the lock.

Format: createrepo_c's doc and librepo's `lr_yum_repomd`, which read and write it. It has no time of validity
and, often, no time of its own: as in librepo, its date is the newest `timestamp` of what it lists.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.upstream.lock import LockedSuite
from zaffre.upstream.rpm.xml import Element, HostileXmlError, parse_xml

MAX_REPOMD_BYTES = 4 * 1024 * 1024
MAX_PACKED_BYTES = 1 << 30
MAX_OPEN_BYTES = 4 << 30
_MOST_ELEMENTS = 5000
_LATEST = 1 << 33  # seconds: the year 2242
_CLOCK_TOLERANCE = timedelta(minutes=10)
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SUFFIXES = {".gz", ".xz", ".zst"}
_ZCHUNK = "_zck"
# What libsolv reads: it comes from unpackers only as it was published.
_READ = {"primary", "filelists"}


@dataclass(frozen=True, slots=True)
class MetadataFile:
    """A file that repomd.xml lists. `path` is below the repository; `open_…`: of its content when unpacked."""

    kind: str
    path: str
    sha256: Sha256
    size: int
    open_sha256: Sha256 | None
    open_size: int | None

    @property
    def suffix(self) -> str:
        """How it is packed: ".gz", ".xz", ".zst" or "" for not at all; ValueError for what cannot be unpacked."""
        suffix = PurePosixPath(self.path).suffix
        if suffix in _SUFFIXES:
            return suffix
        if suffix in {".xml", ".yaml"}:
            return ""
        raise ValueError(f"'{self.path}' is packed in a way that is not known here")


@dataclass(frozen=True)
class Repomd:
    """A repomd.xml that was verified. `files` maps the kind of metadata ("primary") to its file."""

    text: bytes
    digest: Sha256
    date: datetime
    files: Mapping[str, MetadataFile]

    def locked(self, *, upstream: str, archive: str, suite: str) -> LockedSuite:
        return LockedSuite(upstream=upstream, archive=archive, suite=suite, release_sha256=self.digest, date=self.date)

    def file(self, kind: str, *, where: str) -> MetadataFile:
        """The file of that kind. Raises IntegrityError in words when there is none that can be read."""
        found = self.files.get(kind)
        if found is None and kind + _ZCHUNK in self.files:
            raise IntegrityError(
                f"the repository has its '{kind}' metadata as zchunk only, which is not read here",
                where=where,
                resolution="ask its owner for the gz, xz or zst form, which createrepo_c writes beside it by default",
            )
        if found is None:
            raise IntegrityError(f"the repository lists no '{kind}' metadata", where=where)
        return found


def parse_repomd(text: bytes, *, where: str) -> Repomd:
    """Read the text. Raises IntegrityError for one that is malformed or lists what cannot be, though it be signed."""
    try:
        return _parsed(text)
    except ValueError as error:
        raise IntegrityError(
            "repomd.xml is hostile" if isinstance(error, HostileXmlError) else "repomd.xml is malformed",
            where=where,
            details=str(error),
            resolution="use another mirror",
        ) from error


def _parsed(text: bytes) -> Repomd:
    root = parse_xml(text, most_elements=_MOST_ELEMENTS)
    if root.name != "repomd":
        raise ValueError(f"its root is <{root.name}>, not <repomd>")
    files: dict[str, MetadataFile] = {}
    times = [root.said("revision") or ""]
    for data in root.all("data"):
        file = _file(data)
        if file is not None:
            if files.setdefault(file.kind, file) != file:
                raise ValueError(f"it lists '{file.kind}' twice")
            times.append((data.said("timestamp") or "").partition(".")[0])
    stamps = [int(time) for time in times if time.isdigit() and 0 < int(time) < _LATEST]
    if not stamps:
        raise ValueError("it states no time, so an old one could not be told from a new one")
    return Repomd(text, sha256_bytes(text), datetime.fromtimestamp(max(stamps), UTC), files)


def check_age(
    repomd: Repomd, *, now: datetime, not_before: datetime | None, max_age: timedelta | None, where: str
) -> None:
    """Raise IntegrityError for metadata from the future, older than what is locked, or too old by the definition."""
    if repomd.date > now + _CLOCK_TOLERANCE:
        raise IntegrityError(
            f"repomd.xml is dated {_said(repomd.date)}, which is in the future",
            where=where,
            details=f"this machine's clock says {_said(now)}",
            resolution="set this machine's clock, then try again",
        )
    if max_age is not None and repomd.date + max_age < now:
        raise IntegrityError(
            f"repomd.xml has been out of date since {_said(repomd.date + max_age)} (max_age_days of the definition)",
            where=where,
            details=f"it was made on {_said(repomd.date)}; this machine's clock says {_said(now)}",
            resolution="the mirror is stale, or somebody replays old files: use another mirror (and check the clock)",
        )
    if not_before is not None and repomd.date < not_before:
        raise IntegrityError(
            f"repomd.xml is older than the one that is locked: {_said(repomd.date)}, locked {_said(not_before)}",
            where=where,
            resolution="the mirror lags behind, or somebody replays old files: use another mirror, or wait",
        )


def _file(data: Element) -> MetadataFile | None:
    """The file of a <data>; None for the SQLite forms, which are nothing but copies."""
    kind = data.attributes.get("type", "")
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", kind):
        raise ValueError(f"{kind[:100]!r} is not a kind of metadata")
    if kind.endswith("_db"):
        return None
    location = data.first("location")
    href = location.attributes.get("href", "") if location is not None else ""
    if location is not None and "base" in location.attributes:
        raise ValueError(f"'{kind}' is at another place ({location.attributes['base'][:200]!r})")
    if not re.fullmatch(r"[!-~]{1,500}", href) or any(part in {"", ".", ".."} for part in href.split("/")):
        raise ValueError(f"{href[:200]!r} is not a path below the repository")
    if ":" in href.partition("/")[0]:
        raise ValueError(f"{href[:200]!r} is a URL, not a path below the repository")
    opened = data.said("open-size")
    file = MetadataFile(
        kind,
        href,
        _digest(data, "checksum", kind),
        int(data.said("size") or "-1"),
        _digest(data, "open-checksum", kind) if data.first("open-checksum") is not None else None,
        int(opened) if opened else None,
    )
    if kind in _READ and file.open_sha256 is None and PurePosixPath(href).suffix in _SUFFIXES:
        raise ValueError(f"'{kind}' has no SHA-256 of what it unpacks to (open-checksum)")
    if not 0 <= file.size <= MAX_PACKED_BYTES or not 0 <= (file.open_size or 0) <= MAX_OPEN_BYTES:
        raise ValueError(f"'{kind}' is announced with a size that no metadata has ({file.size}, {file.open_size})")
    return file


def _digest(data: Element, name: str, kind: str) -> Sha256:
    checksum = data.first(name)
    method = checksum.attributes.get("type", "") if checksum is not None else "none"
    value = checksum.text.strip() if checksum is not None else ""
    if method != "sha256" or not _DIGEST.fullmatch(value):
        raise ValueError(f"'{kind}' has no SHA-256 as its {name} but {method[:40]!r}")
    return Sha256(value)


def _said(value: datetime) -> str:
    return f"{value:%Y-%m-%d %H:%M} UTC"
