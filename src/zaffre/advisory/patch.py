# SPDX-License-Identifier: Apache-2.0
"""What a patch has to mend, what it mended, and what is to be said where there is no fix yet. Pure."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterable, Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field

from zaffre.advisory.report import Bucket, Finding, Report
from zaffre.advisory.versions import Order

_LOOKED_AT_AGAIN = dt.timedelta(days=30)


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Behind(_Model):
    """A source package that is locked below a version that mends something. `packages` are its binary packages there,
    `images` those that have them; `fixed_version` is the lowest in which all of `vulnerabilities` are mended.
    """

    source: str
    ecosystem: str
    version: str
    fixed_version: str
    vulnerabilities: tuple[str, ...]
    exploited: tuple[str, ...] = ()
    packages: tuple[str, ...]
    images: tuple[str, ...]


class Unfixed(_Model):
    """A vulnerability for which no version with a fix is known, and a statement to begin with (vex/*.toml)."""

    vulnerability: str
    sources: tuple[str, ...]
    images: tuple[str, ...]
    file: str
    statement: str = Field(description="TOML, complete but for what only its author can say")


class Plan(_Model):
    """What is to be mended, and what can't be yet."""

    behind: tuple[Behind, ...]
    unfixed: tuple[Unfixed, ...]

    @property
    def packages(self) -> tuple[str, ...]:
        """Names of all packages whose version has to move."""
        return tuple(sorted({name for one in self.behind for name in one.packages}))

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        """(source, vulnerability) of all that is to be mended."""
        return frozenset((one.source, name) for one in self.behind for name in one.vulnerabilities)

    @property
    def vulnerabilities(self) -> tuple[str, ...]:
        return tuple(sorted({name for _, name in self.pairs}))


class Proof(_Model):
    """A scan after, held against the plan: what is gone, what is still there, and what was not there before."""

    gone: tuple[str, ...]
    left: tuple[str, ...]
    appeared: tuple[str, ...]


def plan(
    report: Report,
    orders: Mapping[str, Order],
    *,
    images: Collection[str] = (),
    author: str = "",
    today: dt.date,
) -> Plan:
    """What the scan of a lock calls for, in these images, or in all. `orders` has the order of versions by ecosystem.

    Only what has a fix and no statement of the owner that settles it: who has said that it does not touch him, or that
    he lives with it, is not overruled.
    """
    mine = [_within(one, images) for one in report.findings]
    there = [one for one in mine if one is not None]
    by_source: dict[tuple[str, str, str], list[Finding]] = {}
    for one in there:
        if one.bucket is Bucket.FIX_AVAILABLE:
            by_source.setdefault((one.source, one.source_version, one.ecosystem), []).append(one)
    waiting: dict[str, list[Finding]] = {}
    for one in there:
        if one.bucket is Bucket.WAITING and one.statement is None:
            waiting.setdefault(one.vulnerability, []).append(one)
    return Plan(
        behind=tuple(_behind(found, orders[key[2]]) for key, found in sorted(by_source.items())),
        unfixed=tuple(_unfixed(name, found, author, today) for name, found in sorted(waiting.items())),
    )


def prove(wanted: Iterable[tuple[str, str]], before: Report, after: Report, *, images: Collection[str] = ()) -> Proof:
    """What became of (source, vulnerability) pairs, in these images or in all. Of a package that is gone, nothing is
    left. What the new version still has by anybody's word is left, whether or not there is a fix for it.
    """
    mine = [found for one in after.findings if (found := _within(one, images)) is not None]
    opened = {(one.source, one.vulnerability) for one in mine if one.bucket in {Bucket.FIX_AVAILABLE, Bucket.WAITING}}
    known = {(one.source, one.vulnerability) for one in before.findings}
    there = {(one.source, one.vulnerability) for one in mine}
    asked = set(wanted)
    left = {name for _, name in asked & opened}
    return Proof(
        gone=tuple(sorted({name for _, name in asked} - left)),
        left=tuple(sorted(left)),
        appeared=tuple(sorted({name for _, name in there - known})),
    )


def needless(before: Report, after: Report) -> tuple[str, ...]:
    """Files of statements that were about something before, and are about nothing now."""
    told = [{one.statement.file for one in report.findings if one.statement} for report in (before, after)]
    return tuple(sorted(told[0] - told[1]))


def _within(finding: Finding, images: Collection[str]) -> Finding | None:
    """The finding as far as it is in these images; None if it is in none."""
    if not images:
        return finding
    packages = tuple(
        one.model_copy(update={"images": tuple(name for name in one.images if name in images)})
        for one in finding.packages
        if set(one.images) & set(images)
    )
    return finding.model_copy(update={"packages": packages}) if packages else None


def _behind(found: Sequence[Finding], order: Order) -> Behind:
    first = found[0]
    return Behind(
        source=first.source,
        ecosystem=first.ecosystem,
        version=first.source_version,
        fixed_version=max((one.fixed_version for one in found if one.fixed_version), key=order),
        vulnerabilities=tuple(sorted({one.vulnerability for one in found})),
        exploited=tuple(sorted({one.vulnerability for one in found if one.exploited})),
        packages=_names(found),
        images=_images(found),
    )


def _unfixed(name: str, found: Sequence[Finding], author: str, today: dt.date) -> Unfixed:
    sources, images = tuple(sorted({one.source for one in found})), _images(found)
    records = sorted({record for one in found for record in one.records})
    text = "\n".join(
        [
            f"# {name} in {', '.join(sources)}: no version with a fix is known ({', '.join(records)}).",
            "# Say what you found: not_affected with a justification, accepted with a reason; or carry the patch",
            f"# yourself: zaffre component new {sources[0]}",
            f"vulnerability = {_quoted(name)}",
            f"packages = [{', '.join(map(_quoted, sources))}]",
            'status = "under_investigation"',
            'reason = "no fix is there yet; whether it can be reached in these images is being looked at"',
            "evidence = []  # where it can be checked: an address, or a file beside this one",
            f"author = {_quoted(author)}",
            f"since = {today}",
            f"expires = {today + _LOOKED_AT_AGAIN}",
        ]
    )
    return Unfixed(
        vulnerability=name, sources=sources, images=images, file=f"vex/{name.lower()}.toml", statement=f"{text}\n"
    )


def _names(found: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(sorted({package.name for one in found for package in one.packages}))


def _images(found: Iterable[Finding]) -> tuple[str, ...]:
    return tuple(sorted({image for one in found for package in one.packages for image in package.images}))


def _quoted(text: str) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
