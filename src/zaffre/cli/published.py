# SPDX-License-Identifier: Apache-2.0
"""What `zaffre repo` says: the results of its commands in words and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from zaffre.cli.output import amount, count, table
from zaffre.digest import JSON

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from zaffre.repository.channel import Moved
    from zaffre.repository.collect import Collected
    from zaffre.repository.overview import Overview
    from zaffre.repository.publish import Published
    from zaffre.repository.reproduce import Twice
    from zaffre.repository.verify import VerifyReport


def fields(value: DataclassInstance) -> dict[str, JSON]:
    """A value as JSON."""
    return {name: _plain(one) for name, one in asdict(value).items()}


def _plain(value: Any) -> JSON:
    """A value of plain parts as JSON has it: times as text."""
    match value:
        case dict():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case datetime():
            return value.isoformat()
        case None | bool() | int() | float() | str():
            return value
        case _:
            raise TypeError(type(value))


def published_words(done: Published, where: str) -> str:
    new = done.moved is not None
    verb = "wrote" if new else "would write"
    sources = f", {count(done.sources, 'source package')}" if done.sources else ""
    thing = "file of the pool" if sources else "package"
    things = "files of the pool" if sources else "packages"
    lines = [
        f"snapshot {done.snapshot}: {count(done.packages, 'package')}{sources}"
        + ("" if done.fresh else ", published before"),
        f"{verb} {count(done.pool_files, thing, things)}, {amount(done.pool_bytes)}",
        f"there already: {count(done.kept_files, thing, things)}, {amount(done.kept_bytes)}",
        f"{verb} {count(done.files - done.pool_files, 'other file')}, {amount(done.bytes - done.pool_bytes)}",
    ]
    return "\n".join([*lines, *([moved_words(done.moved)] if done.moved else []), where])


def moved_words(done: Moved) -> str:
    if done.before == done.snapshot:
        where = f"stays at {done.snapshot}"
    elif done.before is None:
        where = f"is at {done.snapshot}"
    else:
        where = f"went from {done.before} to {done.snapshot}"
        where += ", which is older: machines keep what they have" if done.goes_back else ""
    return f"channel {done.channel} {where}, good until {done.valid_until:%Y-%m-%d %H:%M} UTC"


def overview_words(found: Overview) -> str:
    if not found.snapshots and not found.channels:
        return f"{found.where}: nothing is published here"
    snapshots = [
        (one.name, str(one.packages), amount(one.bytes), amount(one.new_bytes), " ".join(one.channels))
        for one in found.snapshots
    ]
    channels = [
        (
            one.name,
            one.snapshot,
            f"{one.date:%Y-%m-%d %H:%M}",
            f"{one.valid_until:%Y-%m-%d %H:%M}" if one.valid_until else "-",
            "OUT OF DATE" if one.out_of_date else "good",
        )
        for one in found.channels
    ]
    thing = "file" if any(one.sources for one in found.snapshots) else "package"
    return "\n\n".join(
        [
            table(snapshots, headers=("SNAPSHOT", "PACKAGES", "SIZE", "NEW", "CHANNELS"), right=(1, 2, 3)),
            table(channels, headers=("CHANNEL", "SNAPSHOT", "MOVED", "GOOD UNTIL", "STATE")),
            f"{found.where}: {count(found.pool_files, thing)}, {amount(found.pool_bytes)}",
        ]
    )


def verified_words(report: VerifyReport) -> str:
    rows = [
        ("ok" if check.ok else "BAD", check.name, line) if number == 0 else ("", "", line)
        for check in report.checks
        for number, line in enumerate(check.detail.splitlines() or [""])
    ]
    bad = sum(not check.ok for check in report.checks)
    verdict = "everything holds" if report.ok else f"{bad} of {count(len(report.checks), 'check')} do not hold"
    return f"{table(rows)}\n\n{report.where}: {verdict}"


def collected_words(done: Collected) -> str:
    verb = "would remove" if done.dry_run else "removed"
    lines = [f"{verb} snapshot {name}" for name in done.snapshots]
    lines.append(
        f"{verb} {count(done.packages, 'file')} of the pool and {count(done.files - done.packages, 'index', 'indexes')}"
    )
    lines.append(
        f"{'would free' if done.dry_run else 'freed'} {amount(done.bytes)}; {count(len(done.kept), 'snapshot')} "
        f"{'stays' if len(done.kept) == 1 else 'stay'}"
    )
    return "\n".join(lines)


def comparison_words(found: Twice) -> str:
    verdict = f"{count(len(found.differences), 'file')} differ" if found.differences else "two are bit for bit the same"
    rows = [f"differs  {path}" for path in found.differences]
    return "\n".join([*rows, f"the repository, {count(len(found.files), 'file')}, signatures included: {verdict}"])
