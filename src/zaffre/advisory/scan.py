# SPDX-License-Identifier: Apache-2.0
"""A scan: subjects, feeds and the time in, a report out. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zaffre.advisory.matching import feeds_for, match
from zaffre.advisory.model import Exploited, Feed
from zaffre.advisory.report import FeedFact, Finding, Report, SubjectFact
from zaffre.advisory.statements import Claims, check_expiry, put, unmatched
from zaffre.advisory.subject import Subject, require_packages
from zaffre.definition import Statement
from zaffre.errors import FindingError

_HOUR = 3600.0
_TOLERANCE = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class Known:
    """All that is known: of vulnerabilities, of those that are exploited, and what others and the owner say."""

    feeds: tuple[Feed, ...]
    exploited: tuple[Exploited, ...] = ()
    claims: tuple[Claims, ...] = ()
    statements: tuple[Statement, ...] = ()
    notes: tuple[str, ...] = ()

    def without_statements(self) -> Known:
        """The same for what the owner has said nothing of."""
        return Known(self.feeds, self.exploited)


def scan(subjects: Sequence[Subject], known: Known, *, now: dt.datetime, require_used: bool = True) -> Report:
    """What is vulnerable in the subjects, as far as is known at `now`.

    Without `require_used`, statements that match nothing of a whole lock are noted only.

    Raises FindingError where nothing could be said: no packages, no feed of that distribution, a feed that is empty
    or stale, a statement that has expired or, of a whole lock, matches nothing.
    """
    check_expiry(known.statements, now.date())
    everything: tuple[Feed | Exploited | Claims, ...] = (*known.feeds, *known.exploited, *known.claims)
    for one in everything:
        check_age(one, now)
    findings: list[Finding] = []
    facts: list[SubjectFact] = []
    notes = list(known.notes)
    used: dict[str, Feed] = {}
    fixed: set[tuple[str, str]] = set()
    for subject in subjects:
        require_packages(subject.packages, subject.title)
        feeds = feeds_for(subject.platform, known.feeds)
        used |= {one.name: one for one in feeds}
        found = match(subject, feeds, known.exploited)
        findings += found.findings
        fixed |= found.fixed
        notes += (*subject.notes, *found.notes)
        facts.append(_fact(subject, found.uncovered))
    told, idle = put(_merged(findings), known.statements, known.claims)
    if idle and require_used and subjects and all(one.whole for one in subjects):
        raise unmatched(idle)
    if idle:
        notes.append(f"{len(idle)} of the owner's statements are about other images, or about what is mended here")
    return Report(
        at=now,
        subjects=tuple(facts),
        feeds=tuple(_feed_fact(one, now) for one in used.values()) + tuple(_other_facts(known, now)),
        findings=told,
        fixed=_by_source(fixed),
        notes=tuple(dict.fromkeys(notes)),
    )


def _by_source(fixed: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for source, name in sorted(fixed):
        found.setdefault(source, []).append(name)
    return {source: tuple(names) for source, names in found.items()}


def _merged(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """One finding for each vulnerability in a version of a source, whatever architectures it is on."""
    found: dict[tuple[str, str, str, str], Finding] = {}
    for one in findings:
        key = (one.ecosystem, one.vulnerability, one.source, one.source_version)
        before = found.get(key)
        if before is not None:
            found[key] = before.model_copy(update={"packages": (*before.packages, *one.packages)})
        else:
            found[key] = one
    return tuple(found.values())


def check_age(one: Feed | Exploited | Claims, now: dt.datetime) -> None:
    """Raise FindingError for a feed that is too old to be believed, or from the future."""
    age = now - one.dated
    if age > one.max_age:
        raise FindingError(
            f"the feed is {age.days} days old, and may be {one.max_age.days}",
            where=one.name,
            resolution="get a newer one; or say how old it may be, with `max_age_days` in the definition or "
            "`--max-feed-age DAYS`",
        )
    if age < -_TOLERANCE:
        raise FindingError(
            f"the feed is dated {one.dated:%Y-%m-%d %H:%M} UTC, which is in the future",
            where=one.name,
            details=f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC",
            resolution="set this machine's clock, then try again",
        )


def _fact(subject: Subject, uncovered: tuple[str, ...]) -> SubjectFact:
    return SubjectFact(
        kind=subject.kind,
        title=subject.title,
        platform=subject.platform.title,
        architecture=subject.architecture,
        packages=len(subject.packages),
        sources=len({one.source for one in subject.packages}),
        uncovered=uncovered,
    )


def _feed_fact(one: Feed, now: dt.datetime) -> FeedFact:
    return FeedFact(
        name=one.name,
        kind=one.kind,
        ecosystem=one.ecosystem,
        provenance=one.provenance,
        dated=one.dated,
        age_hours=_hours(one.dated, now),
        records=len(one.advisories),
        doubts=one.doubts,
    )


def _other_facts(known: Known, now: dt.datetime) -> Iterable[FeedFact]:
    for kev in known.exploited:
        yield FeedFact(
            name=kev.name,
            kind="kev",
            ecosystem="",
            provenance=kev.provenance,
            dated=kev.dated,
            age_hours=_hours(kev.dated, now),
            records=len(kev.due),
        )
    for document in known.claims:
        yield FeedFact(
            name=document.name,
            kind="vex",
            ecosystem="",
            provenance=document.author,
            dated=document.dated,
            age_hours=_hours(document.dated, now),
            records=len(document.claims),
        )


def _hours(dated: dt.datetime, now: dt.datetime) -> float:
    return round((now - dated).total_seconds() / _HOUR, 1)
