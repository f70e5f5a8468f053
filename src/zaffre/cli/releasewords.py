# SPDX-License-Identifier: Apache-2.0
"""What a repository of releases has, in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from zaffre.cli.output import amount, count, table
from zaffre.release.overview import Overview, Shown
from zaffre.release.verify import VerifyReport


def overview_words(found: Overview) -> Iterator[str]:
    rows = [
        (
            one.channel,
            f"{one.image}-{one.architecture}",
            one.version,
            one.state,
            f"{one.share:.1%}" if one.share is not None else "-",
            f"{one.begin:%Y-%m-%d %H:%M}",
            one.floor or "-",
            amount(one.bytes),
        )
        for one in found.releases
    ]
    headers = ("CHANNEL", "PRODUCT", "VERSION", "STATE", "REACHED", "BEGUN", "FLOOR", "SIZE")
    if rows:
        yield table(rows, headers=headers, right=(4, 7))
    else:
        yield "no release is published yet"
    yield ""
    roles = [
        (
            one.role,
            str(one.version),
            f"{one.expires:%Y-%m-%d %H:%M}",
            "OUT OF DATE" if one.expired else "ends soon" if one.soon else "good",
            f"{one.threshold} of {', '.join(one.keys)}",
        )
        for one in found.roles
    ]
    yield table(roles, headers=("ROLE", "VERSION", "GOOD UNTIL", "STATE", "SIGNED BY"), right=(1,))
    yield f"\n{found.where}"


def shown_words(record: Shown, now: datetime) -> Iterator[str]:
    rollout, evidence = record.rollout, record.evidence
    share = rollout.schedule.share(rollout.elapsed(now))
    pace = f"{rollout.name}, begun {rollout.begin:%Y-%m-%d %H:%M} UTC, {share:.1%} of all nodes had their turn"
    rows = [
        (
            "release",
            f"{record.image} {record.version} for {record.architecture}, a {record.kind}, profile {record.profile}",
        ),
        ("made", f"{record.created:%Y-%m-%d %H:%M} UTC"),
        ("pace", pace + (f", paused since {rollout.stopped:%Y-%m-%d %H:%M} UTC" if rollout.stopped else "")),
        ("floor", record.floor or "none: every older version may come to it"),
        (
            "checked",
            f"{evidence.checked:%Y-%m-%d %H:%M} UTC: all {evidence.held} lines held ({evidence.machine})",
        ),
        ("root hash", record.root_hash or "-"),
    ]
    if record.revoked is not None:
        rows.append(("REVOKED", f"{record.revoked.at:%Y-%m-%d %H:%M} UTC: {record.revoked.reason}"))
    yield table(rows)
    yield ""
    yield table([(f"  {name}", amount(record.sizes[name]), record.files[name]) for name in record.sizes], right=(1,))
    if record.deltas:
        yield ""
        yield table(
            [
                (f"  {one.file} from {one.source}", amount(one.bytes), f"{one.bytes / record.sizes[one.file]:.1%}")
                for one in record.deltas
            ],
            right=(1, 2),
        )
    if record.notes:
        yield f"\n{record.notes}"


def verified_words(report: VerifyReport) -> str:
    rows = [
        ("ok" if check.ok else "BAD", check.name, line) if number == 0 else ("", "", line)
        for check in report.checks
        for number, line in enumerate(check.detail.splitlines() or [""])
    ]
    bad = sum(not check.ok for check in report.checks)
    verdict = "whole, fresh and complete" if report.ok else f"{bad} of {count(len(rows), 'check')} do not hold"
    return f"{table(rows)}\n\n{report.where}: {verdict}"
