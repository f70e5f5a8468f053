# SPDX-License-Identifier: Apache-2.0
"""What `zaffre patch` did, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from zaffre.cli.output import count, table

if TYPE_CHECKING:
    from zaffre.advisory.patch import Behind, Unfixed
    from zaffre.patching import Changed, ImageReport, Order, PatchReport

_MOST_NAMES = 4
_MOST_STATEMENTS = 3


def words(report: PatchReport, order: Order) -> str:
    """The report for people."""
    return "\n".join(_lines(report, order))


def _lines(report: PatchReport, order: Order) -> Iterator[str]:
    if report.plan.behind:
        known = count(len(report.plan.vulnerabilities), "vulnerability", "vulnerabilities")
        yield f"Behind: {count(len(report.plan.behind), 'source')}, {known} with a fix"
        yield table(
            [_behind(one) for one in report.plan.behind],
            headers=("SOURCE", "HAS", "FIXED IN", "VULNERABILITIES", "IMAGES"),
        )
        yield ""
        yield from _changes(report)
        yield from _images(report)
    else:
        yield f"nothing of lock {report.old_lock} has a known vulnerability with a fix"
    yield from _unfixed(report.plan.unfixed)
    yield ""
    yield table([(one.stage, f"{one.seconds:.1f} s") for one in report.stages], headers=("STAGE", "TIME"), right=(1,))
    yield ""
    yield from _verdict(report, order)


def _behind(one: Behind) -> tuple[str, ...]:
    exploited = [f"{name} !" for name in one.exploited]
    others = [name for name in one.vulnerabilities if name not in one.exploited]
    return one.source, one.version, one.fixed_version, _some([*exploited, *others]), _some(one.images)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ", ".join(names[:_MOST_NAMES]) + more


def _changes(report: PatchReport) -> Iterator[str]:
    """One line a package and architecture, however many images have it."""
    found: dict[tuple[str, str, str, str, bool], list[str]] = {}
    for one in report.changes:
        found.setdefault(_change(one), []).append(one.image)
    yield f"Lock {report.old_lock} -> {report.lock}: {count(len(found), 'package')} of images"
    yield table(
        [
            (name, machine, old, new, "" if wanted else "comes with it", _some(sorted(images)))
            for (name, machine, old, new, wanted), images in sorted(found.items())
        ],
        headers=("PACKAGE", "FOR", "OLD", "NEW", "", "IMAGES"),
    )
    if report.proof and report.proof.left:
        yield f"still there: {', '.join(report.proof.left)}"
    if report.proof and report.proof.appeared:
        yield f"not there before: {', '.join(report.proof.appeared)}"
    for file in report.needless:
        yield f"{file} is about nothing any more: remove it"
    if report.elsewhere:
        yield f"locked, and not built here: {', '.join(report.elsewhere)}"


def _change(one: Changed) -> tuple[str, str, str, str, bool]:
    return one.package, one.architecture, one.old or "-", one.new or "-", one.wanted


def _images(report: PatchReport) -> Iterator[str]:
    if report.images:
        yield ""
        yield table([_image(one) for one in report.images], headers=("IMAGE", "VERSION", "CHECK", "GONE", "LEFT", ""))
    for path in report.advisory:
        yield f"advisory: {path}, signed"
    yield from report.published


def _image(one: ImageReport) -> tuple[str, ...]:
    check = "-" if one.held is None else f"{len(one.failed)} FAILED" if one.failed else f"all {one.held} hold"
    gone = str(len(one.proof.gone)) if one.proof else "-"
    left = str(len(one.proof.left)) if one.proof else "-"
    return one.image, one.version, check, gone, left, one.remark or one.release or ""


def _unfixed(unfixed: Sequence[Unfixed]) -> Iterator[str]:
    if not unfixed:
        return
    yield ""
    yield f"No fix yet: {count(len(unfixed), 'vulnerability', 'vulnerabilities')}. A statement to begin with, for each:"
    for one in unfixed[:_MOST_STATEMENTS]:
        yield ""
        yield f"# {one.file}"
        yield one.statement.rstrip("\n")
    if len(unfixed) > _MOST_STATEMENTS:
        yield f"\n… and {len(unfixed) - _MOST_STATEMENTS} more (--json has all)"


def _verdict(report: PatchReport, order: Order) -> Iterator[str]:
    gone = len(report.proof.gone) if report.proof else 0
    if report.broken is not None:
        yield f"NOT PATCHED: {report.broken}"
        if report.kept is not None:
            yield f"zaffre.lock is as it was; the lock that led to this is {report.kept}"
    elif not report.plan.behind:
        yield "nothing to patch"
    elif order.dry_run:
        yield f"{gone} would be mended; nothing was written"
    else:
        yield f"{gone} mended in {report.seconds:.0f} s; zaffre.lock is {report.lock}"
        if order.until == "release" and not report.published and any(one.release for one in report.images):
            yield "nothing is published: 'zaffre release publish BUILD TARGET', or --to TARGET next time"
