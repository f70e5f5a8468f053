# SPDX-License-Identifier: Apache-2.0
"""What a scan found, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from zaffre.advisory.report import Bucket, vulnerabilities
from zaffre.cli.output import count, table

if TYPE_CHECKING:
    from zaffre.advisory.compare import Comparison
    from zaffre.advisory.report import FeedFact, Finding, Report

_TITLES = {
    Bucket.FIX_AVAILABLE: "A fix is available",
    Bucket.WAITING: "Waiting for the upstream",
    Bucket.ACCEPTED: "Accepted until a day",
    Bucket.NOT_AFFECTED: "Not affected",
}
_HEADERS = ("VULNERABILITY", "SEVERITY", "SOURCE", "HAS", "FIXED IN", "IN")
_MOST_NAMES = 3
_MOST_OF_A_SOURCE = 10
_DAY = 48.0


def words(report: Report, *, everything: bool, comparison: Comparison | None) -> str:
    """The report for people; `everything` lists what is not affected too, and every vulnerability of each source."""
    return "\n".join(_lines(report, everything=everything, comparison=comparison))


def _lines(report: Report, *, everything: bool, comparison: Comparison | None) -> Iterator[str]:
    for subject in report.subjects:
        amount = f"{count(subject.packages, 'package')} of {count(subject.sources, 'source')}"
        yield f"{subject.title}: {amount}, {subject.platform}"
    yield ""
    yield "\n".join(_feeds(report.feeds))
    for bucket, title in _TITLES.items():
        found = report.of(bucket)
        if not found or (bucket is Bucket.NOT_AFFECTED and not everything):
            continue
        yield f"\n{title}: {_amount(found)}"
        shown = found if everything else _first_of_each_source(found)
        yield table([_row(one) for one in shown], headers=_HEADERS)
        if len(shown) < len(found):
            yield f"… and {len(found) - len(shown)} more of the same sources (--all lists all)"
        yield from _remarks(shown)
    for subject in report.subjects:
        if subject.uncovered:
            yield f"\nNo feed speaks of {count(len(subject.uncovered), 'source')}: {', '.join(subject.uncovered)}"
    yield from (f"\nnote: {one}" for one in report.notes)
    yield ""
    yield _verdict(report)
    if comparison is not None:
        yield ""
        yield from compared(comparison)


def _first_of_each_source(found: Sequence[Finding]) -> list[Finding]:
    """Ten of each source, and what is being exploited: a kernel alone can have thousands."""
    counts: dict[str, int] = {}
    shown = []
    for one in found:
        counts[one.source] = counts.get(one.source, 0) + 1
        if counts[one.source] <= _MOST_OF_A_SOURCE or one.exploited:
            shown.append(one)
    return shown


def _feeds(feeds: Sequence[FeedFact]) -> Iterator[str]:
    yield table(
        [(one.name, _age(one.age_hours), str(one.records), one.provenance) for one in feeds],
        headers=("FEED", "AGE", "RECORDS", "FROM"),
        right=(1, 2),
    )
    for one in feeds:
        yield from (f"  {doubt}" for doubt in one.doubts)


def _age(hours: float) -> str:
    return f"{hours:.0f} h" if hours < _DAY else f"{hours / 24:.0f} d"


def _amount(found: Sequence[Finding]) -> str:
    known, sources = vulnerabilities(found), len({one.source for one in found})
    return f"{count(known, 'vulnerability', 'vulnerabilities')} in {count(sources, 'source')}"


def _row(one: Finding) -> tuple[str, ...]:
    name = f"{one.vulnerability} !" if one.exploited else one.vulnerability
    names = [package.name for package in one.packages]
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return (
        name,
        "" if one.severity == "unknown" else str(one.severity),
        one.source,
        one.source_version,
        one.fixed_version or "",
        ", ".join(names[:_MOST_NAMES]) + more,
    )


def _remarks(found: Sequence[Finding]) -> Iterator[str]:
    for one in found:
        if one.due is not None:
            yield f"  ! {one.vulnerability} is being exploited (CISA: to be mended by {one.due})"
    for one in found:
        if one.summary and not one.vulnerability.startswith("CVE-"):
            yield f"  {one.vulnerability}: {one.summary}"
        if one.statement is not None:
            why = f"{one.statement.justification}: " if one.statement.justification else ""
            until = f", until {one.statement.expires}" if one.statement.expires else ""
            yield f"  {one.vulnerability} in {one.source}: {why}{one.statement.reason} ({one.statement.file}{until})"
        yield from (f"  {one.vulnerability} in {one.source}: {doubt}" for doubt in one.doubts)


def _verdict(report: Report) -> str:
    parts = [f"{vulnerabilities(found)} {_SHORT[bucket]}" for bucket in Bucket if (found := report.of(bucket))]
    known = f"{report.mended} known ones are mended in what is there"
    return f"{', '.join(parts)}; {known}" if parts else f"none is known to be open; {known}"


_SHORT = {
    Bucket.FIX_AVAILABLE: "with a fix available",
    Bucket.WAITING: "waiting for the upstream",
    Bucket.ACCEPTED: "accepted",
    Bucket.NOT_AFFECTED: "not affecting",
}


def compared(comparison: Comparison) -> Iterator[str]:
    """Ours beside the peer."""
    yield table(
        [
            (row.title, str(row.ours), str(row.peer), "" if row.ratio is None else f"{row.ratio:.2f}")
            for row in comparison.rows
        ],
        headers=("", "OURS", "STOCK", "RATIO"),
        right=(1, 2, 3),
    )
    yield f"stock: {comparison.peer_title}"


def _ratio(ratio: float | None) -> str:
    return "" if ratio is None else f"{ratio:.2f}"
