# SPDX-License-Identifier: Apache-2.0
"""What a scan found, as values: the form of `zaffre scan --json`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zaffre.advisory.model import Severity


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Bucket(StrEnum):
    """What there is to be done about a vulnerability."""

    FIX_AVAILABLE = "fix-available"
    WAITING = "waiting"
    ACCEPTED = "accepted"
    NOT_AFFECTED = "not-affected"


class Affected(_Model):
    """A package that a vulnerability is in. `files` are up to three of its paths; `file` is its own, in the archive;
    `images` are those that have it.
    """

    name: str
    version: str
    architecture: str
    images: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    file: str | None = None


class Stated(_Model):
    """What a statement says: the owner's (vex/*.toml), or a document of others, which need not end."""

    file: str
    status: str
    justification: str | None = None
    reason: str
    author: str
    expires: dt.date | None = None


class Finding(_Model):
    """A vulnerability in a source package. `fixed_version` is the lowest version in which all feeds have it mended;
    `ecosystem` is OSV's word for the distribution; `due` is the day by which CISA wants it mended, as it is being
    exploited; `doubts` are what feeds disagree about.
    """

    vulnerability: str
    ecosystem: str = ""
    records: tuple[str, ...] = Field(description="ids of the records, feed by feed")
    bucket: Bucket
    source: str
    source_version: str
    fixed_version: str | None = None
    severity: Severity = Severity.UNKNOWN
    exploited: bool = False
    due: dt.date | None = None
    summary: str = ""
    packages: tuple[Affected, ...]
    feeds: tuple[str, ...]
    statement: Stated | None = None
    doubts: tuple[str, ...] = ()

    @property
    def vendor(self) -> str:
        """The distribution as purls name it: "Azure Linux:3" is "azurelinux"."""
        return self.ecosystem.partition(":")[0].replace(" ", "").lower()


class FeedFact(_Model):
    """A feed that was used: when its publisher made it, its age in hours, and how many records it has."""

    name: str
    kind: str
    ecosystem: str
    provenance: str
    dated: dt.datetime
    age_hours: float
    records: int
    doubts: tuple[str, ...] = ()


class SubjectFact(_Model):
    """What was scanned. `uncovered` are source packages of which no feed speaks, so nothing is known of them."""

    kind: str
    title: str
    platform: str
    architecture: str
    packages: int
    sources: int
    uncovered: tuple[str, ...] = ()


class Report(_Model):
    """A scan. `fixed` has the vulnerabilities that feeds know of and that what is installed has mended, by source."""

    format: Literal[1] = 1
    at: dt.datetime
    subjects: tuple[SubjectFact, ...]
    feeds: tuple[FeedFact, ...]
    findings: tuple[Finding, ...]
    fixed: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def of(self, bucket: Bucket) -> tuple[Finding, ...]:
        """The findings of a bucket: what is exploited first, then by severity."""
        return tuple(sorted((one for one in self.findings if one.bucket is bucket), key=_urgency))

    @property
    def packages(self) -> int:
        return sum(one.packages for one in self.subjects)

    @property
    def mended(self) -> int:
        """How many are known, and mended in all that was scanned."""
        opened = {one.vulnerability for one in self.findings}
        return len({name for names in self.fixed.values() for name in names} - opened)


def vulnerabilities(findings: Iterable[Finding]) -> int:
    """How many different ones: a CVE in two sources counts once."""
    return len({one.vulnerability for one in findings})


def _urgency(one: Finding) -> tuple[bool, int, str, str]:
    return not one.exploited, one.severity.rank, one.vulnerability, one.source
