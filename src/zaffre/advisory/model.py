# SPDX-License-Identifier: Apache-2.0
"""What feeds say: records of vulnerabilities in source packages, with the provenance and the age of who says it. Pure.

A record is an OSV one (https://ossf.github.io/osv-schema/): an id of its publisher's, the CVEs that it is about
(`upstream`), one package, and ranges of versions. The package is a *source* package; where a publisher may name binary
packages too, `binary` says so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Severity(StrEnum):
    """The words of CVSS's qualitative scale, from the worst to none."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    NONE = "none"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """0 is the worst. Unknown comes after all that is known to matter."""
        return list(Severity).index(self)

    @classmethod
    def of(cls, word: str) -> Severity:
        """What a publisher's word stands for; `important` and `moderate` are Red Hat's and Microsoft's."""
        plain = {"important": "high", "moderate": "medium", "negligible": "low"}.get(word.lower(), word.lower())
        return cls(plain) if plain in set(cls) else cls.UNKNOWN


class Kind(StrEnum):
    """Where a feed comes from."""

    ARCHIVE = "archive"
    UPDATEINFO = "updateinfo"
    CANDIDATES = "candidates"
    OSV = "osv"
    OVAL = "oval"


@dataclass(frozen=True, slots=True)
class Range:
    """Versions from `introduced` (None: from the first) to before `fixed`, or up to and with `last`.

    Without either end nothing newer is good: no fix is known.
    """

    introduced: str | None = None
    fixed: str | None = None
    last: str | None = None


@dataclass(frozen=True, slots=True)
class Advisory:
    """One record about one package. `cves` is empty where the publisher names none."""

    id: str
    package: str
    ranges: tuple[Range, ...]
    cves: tuple[str, ...] = ()
    versions: frozenset[str] = frozenset()
    severity: Severity = Severity.UNKNOWN
    summary: str = ""
    binary: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What the vulnerability is called: its CVEs, or the record's own id."""
        return self.cves or (self.id,)


@dataclass(frozen=True)
class Feed:
    """All that one publisher says of one ecosystem ("Debian:13", "Azure Linux:3").

    `dated` is when the publisher made it, from which its age counts, and `max_age` when it is stale. `upstream` is the
    definition's, whose own feed it is. `covers` are the source packages that it would speak of if there were something
    to say; None: it can't be told. `aliases` maps source packages under another name or version to those that records
    name: the signed form of a kernel to the kernel. `doubts` are what could not be read, in words.
    """

    name: str
    kind: Kind
    ecosystem: str
    family: str
    provenance: str
    dated: dt.datetime
    max_age: dt.timedelta
    advisories: tuple[Advisory, ...] = field(repr=False)
    upstream: str | None = None
    covers: frozenset[str] | None = field(default=None, repr=False)
    aliases: Mapping[tuple[str, str], tuple[str, str]] = field(default_factory=dict, repr=False)
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Exploited:
    """CISA's catalogue of vulnerabilities that are being exploited: CVE to the day by which it is to be mended."""

    name: str
    provenance: str
    dated: dt.datetime
    max_age: dt.timedelta
    due: Mapping[str, dt.date] = field(repr=False)
