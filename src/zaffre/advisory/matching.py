# SPDX-License-Identifier: Apache-2.0
"""What feeds say, held against what is installed. Pure: no clock, no files.

A package is matched by its source and the version of that. Where feeds disagree, the worse answer holds and the
disagreement is told.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from zaffre.advisory.archive.carriers import is_signed_form, unsigned
from zaffre.advisory.model import Advisory, Exploited, Feed, Kind, Range, Severity
from zaffre.advisory.report import Affected, Bucket, Finding
from zaffre.advisory.subject import Installed, Platform, Subject
from zaffre.advisory.versions import Order, order_of
from zaffre.errors import DefinitionError, FindingError


@dataclass(frozen=True)
class Matched:
    """`fixed` are (source, vulnerability) known and mended; `uncovered` are sources of which no feed speaks."""

    findings: tuple[Finding, ...]
    fixed: frozenset[tuple[str, str]]
    uncovered: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass
class _Opinion:
    """What one feed says of a vulnerability in one version of a source."""

    feed: str
    candidate: bool = False
    records: list[Advisory] = field(default_factory=list)
    affected: bool = False
    fixes: list[str] = field(default_factory=list)


def feeds_for(platform: Platform, feeds: Sequence[Feed]) -> tuple[Feed, ...]:
    """The feeds that speak of a distribution. Raises FindingError when there is none: then nothing is known."""
    mine = tuple(one for one in feeds if one.family == platform.family and speaks_of(one, platform))
    if not mine:
        raise FindingError(
            f"no feed speaks of {platform.title}",
            details="\n".join(f"{one.name} speaks of {one.ecosystem}" for one in feeds) or None,
            resolution="name one with --feed, or scan from a distribution whose definition has the upstream",
        )
    return mine


def speaks_of(feed: Feed, platform: Platform) -> bool:
    """Whether a feed is about a distribution. One without a release ("Azure Linux") is about every release."""
    if feed.upstream is not None and feed.upstream == platform.upstream:
        return True
    named, asked = feed.ecosystem, platform.ecosystem
    return asked is not None and (named == asked or (":" not in named and asked.partition(":")[0] == named))


def match(subject: Subject, feeds: Sequence[Feed], exploited: Sequence[Exploited] = ()) -> Matched:
    """Every vulnerability that feeds know in the packages. `feeds` are those of the subject's distribution.

    Raises DefinitionError for a version that is none.
    """
    order = order_of(subject.platform.family)
    aliases = {old: new for feed in feeds for old, new in feed.aliases.items()}
    tables = [(feed, _by_package(feed)) for feed in feeds]
    findings: list[Finding] = []
    fixed: set[tuple[str, str]] = set()
    for (source, version), packages in _by_source(subject, aliases).items():
        opinions = _opinions(source, version, packages, tables, order)
        for name, heard in opinions.items():
            held = _known_first(heard)
            if not any(one.affected for one in held):
                fixed.add((source, name))
                continue
            key = (name, source, version)
            findings.append(_finding(key, held, packages, subject=subject, order=order, exploited=exploited))
    return Matched(
        findings=tuple(findings),
        fixed=frozenset(fixed - {(one.source, one.vulnerability) for one in findings}),
        uncovered=_uncovered(subject, feeds, aliases),
        notes=_notes(feeds),
    )


def _by_source(
    subject: Subject, aliases: Mapping[tuple[str, str], tuple[str, str]]
) -> dict[tuple[str, str], list[Installed]]:
    """Packages by source and version of it; a signed form is what was signed."""
    found: dict[tuple[str, str], list[Installed]] = {}
    for one in subject.packages:
        key = unsigned(one.source, one.source_version, aliases) or (one.source, one.source_version)
        found.setdefault(key, []).append(one)
    return found


def _by_package(feed: Feed) -> dict[tuple[str, bool], list[Advisory]]:
    found: dict[tuple[str, bool], list[Advisory]] = {}
    for one in feed.advisories:
        found.setdefault((one.package, one.binary), []).append(one)
    return found


def _opinions(
    source: str,
    version: str,
    packages: Sequence[Installed],
    tables: Sequence[tuple[Feed, Mapping[tuple[str, bool], Sequence[Advisory]]]],
    order: Order,
) -> dict[str, list[_Opinion]]:
    """By name of the vulnerability, what each feed that knows it says."""
    found: dict[str, dict[str, _Opinion]] = {}
    for feed, table in tables:
        records = [(one, version) for binary in (False, True) for one in table.get((source, binary), ())]
        records += [(one, package.version) for package in packages for one in table.get((package.name, True), ())]
        for record, installed in records:
            for name in record.names:
                opinion = found.setdefault(name, {}).setdefault(
                    feed.name, _Opinion(feed.name, feed.kind is Kind.CANDIDATES)
                )
                _judge(opinion, record, installed, order)
    return {name: list(by_feed.values()) for name, by_feed in found.items()}


def _known_first(opinions: Sequence[_Opinion]) -> Sequence[_Opinion]:
    """What a newer release mends says something where nobody speaks of this one."""
    return [one for one in opinions if not one.candidate] or opinions


def _judge(opinion: _Opinion, record: Advisory, installed: str, order: Order) -> None:
    opinion.records.append(record)
    hit = [one for one in record.ranges if _within(one, installed, order, record.id)]
    if not hit and installed not in record.versions:
        return
    opinion.affected = True
    opinion.fixes += [one.fixed for one in hit if one.fixed is not None]


def _within(one: Range, installed: str, order: Order, record: str) -> bool:
    try:
        key = order(installed)
        return not (
            (one.introduced is not None and key < order(one.introduced))
            or (one.fixed is not None and key >= order(one.fixed))
            or (one.last is not None and key > order(one.last))
        )
    except ValueError as error:
        raise DefinitionError(
            "a version can not be compared",
            where=record,
            details=str(error),
            resolution="the feed is for another family of packages, or the package was built elsewhere",
        ) from error


def _finding(
    key: tuple[str, str, str],
    opinions: Sequence[_Opinion],
    packages: Sequence[Installed],
    *,
    subject: Subject,
    order: Order,
    exploited: Sequence[Exploited],
) -> Finding:
    name, source, version = key
    against = [one for one in opinions if one.affected]
    # Mended is what every feed that has a fix calls mended.
    fixes = [fix for one in against for fix in one.fixes if not one.candidate]
    fix = max(fixes, key=order) if fixes else None
    due = next((one.due[name] for one in exploited if name in one.due), None)
    records = [record for one in against for record in one.records]
    return Finding(
        vulnerability=name,
        ecosystem=subject.platform.ecosystem or "",
        records=tuple(dict.fromkeys(record.id for record in records)),
        bucket=Bucket.FIX_AVAILABLE if fix is not None else Bucket.WAITING,
        source=source,
        source_version=version,
        fixed_version=fix,
        severity=min((record.severity for record in records), key=lambda one: one.rank, default=Severity.UNKNOWN),
        exploited=due is not None,
        due=due,
        summary=next((record.summary for record in records if record.summary), ""),
        packages=tuple(_affected(one, subject) for one in packages),
        feeds=tuple(one.feed for one in against),
        doubts=tuple(_doubts(opinions, version)),
    )


def _affected(one: Installed, subject: Subject) -> Affected:
    return Affected(
        name=one.name,
        version=one.version,
        architecture=one.architecture,
        images=one.within,
        files=tuple(subject.files(one)),
        file=one.file,
    )


def _doubts(opinions: Sequence[_Opinion], version: str) -> Iterator[str]:
    against = [one for one in opinions if one.affected]
    for one in opinions:
        if one.candidate:
            yield f"{one.feed}: mended in {', '.join(sorted(set(one.fixes)))}; whether {version} has it is not known"
        elif not one.affected:
            yield f"{one.feed} has it mended in {version}"
    fixes = {one.feed: sorted(set(one.fixes)) for one in against if not one.candidate}
    if len({tuple(found) for found in fixes.values()}) > 1:
        for feed, found in fixes.items():
            yield f"{feed}: mended in {', '.join(found)}" if found else f"{feed}: no fix yet"


def _uncovered(
    subject: Subject, feeds: Sequence[Feed], aliases: Mapping[tuple[str, str], tuple[str, str]]
) -> tuple[str, ...]:
    """Sources of which no feed would speak, as far as feeds say of which they do; and signed forms of which it is not
    known what they are made from.
    """
    known = [one.covers for one in feeds if one.covers is not None]
    if not known:
        return ()
    named = {one.package for feed in feeds for one in feed.advisories}
    sources = {source for source, _ in _by_source(subject, aliases)}
    covered = {one for one in sources if one in named or any(one in covers for covers in known)}
    return tuple(sorted(one for one in sources if one not in covered or is_signed_form(one)))


def _notes(feeds: Iterable[Feed]) -> tuple[str, ...]:
    if any(one.covers is not None for one in feeds):
        return ()
    return (
        "no feed says which packages it would speak of: a package without a finding may be one that nobody watches",
    )
