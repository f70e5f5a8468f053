# SPDX-License-Identifier: Apache-2.0
"""`zaffre store`: the cache of everything that was fetched or made."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import amount, count, parse_size, table
from zaffre.digest import JSON
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.store import GcReport, StoreSize, VerifyReport

app = typer.Typer(help="The cache of everything that was fetched or made.", no_args_is_help=True)

_DEFAULT_AGE = 30.0


@app.command()
def size(context: typer.Context, json: JsonOption = False) -> None:
    """Say where the store is and how much it holds.

    Example: zaffre store size
    """
    work = workspace(context)
    found = work.store.size()
    value: JSON = {
        "root": str(found.root),
        "total_bytes": found.total_bytes,
        "blobs": {"count": found.blobs, "bytes": found.blob_bytes},
        "trees": {"count": found.trees, "bytes": found.tree_bytes},
        "actions": {"count": found.actions},
        "partial_bytes": found.partial_bytes,
        "leftover_bytes": found.leftover_bytes,
    }
    work.emit(value, lambda: _size_words(found), as_json=json)


def _size_words(found: StoreSize) -> str:
    rows = [
        ("packages and results", str(found.blobs), amount(found.blob_bytes)),
        ("trees of tools", str(found.trees), amount(found.tree_bytes)),
        ("records of steps", str(found.actions), ""),
        ("downloads begun", "", amount(found.partial_bytes)),
        ("left by processes that ended", "", amount(found.leftover_bytes)),
        ("all", "", amount(found.total_bytes)),
    ]
    return f"{found.root}\n\n" + table(rows, right=(1, 2))


@app.command()
def gc(
    context: typer.Context,
    *,
    max_age: Annotated[
        float,
        typer.Option(metavar="DAYS", min=0, help="Remove what was not used for so many days; 0: all that is idle."),
    ] = _DEFAULT_AGE,
    max_size: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Then remove the least recently used down to this, as '20G'.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: JsonOption = False,
) -> None:
    """Make room. What goes is fetched or made anew when it is needed; builds that run keep what they use.

    Examples: zaffre store gc --dry-run; zaffre store gc --max-age 7 --max-size 20G
    """
    from zaffre.tree.memory import remove_leftovers

    work = workspace(context)
    if not dry_run:
        remove_leftovers()
    limit = None if max_size is None else parse_size(max_size, where="--max-size")
    with work.progress.step("look through the store" if dry_run else "make room in the store") as remark:
        report = work.store.gc(max_age_days=max_age, max_bytes=limit, dry_run=dry_run)
        remark(amount(report.freed_bytes))
    since = _time(report.protected_since)
    value: JSON = {
        "dry_run": report.dry_run,
        "freed_bytes": report.freed_bytes,
        "kept_bytes": report.kept_bytes,
        "in_use": report.in_use,
        "protected_since": None if since is None else since.isoformat(),
        "removed": [
            {"kind": one.entry.kind.value, "name": one.entry.name, "bytes": one.entry.size, "reason": one.reason}
            for one in report.removed
        ],
    }
    work.emit(value, lambda: _gc_words(report, max_age), as_json=json)


def _gc_words(report: GcReport, max_age: float) -> str:
    kinds = Counter(one.entry.kind.value for one in report.removed)
    verb = "would go" if report.dry_run else "removed"
    lines = [f"{verb}: {number} x {kind}" for kind, number in sorted(kinds.items())] or ["nothing to remove"]
    lines.append(
        f"{'would free' if report.dry_run else 'freed'} {amount(report.freed_bytes)}, {amount(report.kept_bytes)} stay"
    )
    if report.in_use:
        since = _time(report.protected_since)
        lines.append(f"{count(report.in_use, 'thing is', 'things are')} in use and stay")
        if since is not None:
            lines[-1] += f": used since {since:%Y-%m-%d %H:%M} UTC, when the oldest running command began"
    if max_age and report.kept_bytes > report.freed_bytes:
        lines.append("for more room: a smaller --max-age (0: all that is idle), or --max-size SIZE")
    return "\n".join(lines)


def _time(ns: int | None) -> datetime | None:
    return None if ns is None else datetime.fromtimestamp(ns // 10**9, UTC)


@app.command()
def verify(
    context: typer.Context,
    repair: Annotated[bool, typer.Option("--repair", help="Put what is bad aside, so that it is made anew.")] = False,
    json: JsonOption = False,
) -> None:
    """Hold everything in the store against its hash. Exit code 1 if something does not hold.

    Examples: zaffre store verify; zaffre store verify --repair
    """
    work = workspace(context)
    with work.progress.step("verify the store") as remark:
        report = work.store.verify(repair=repair)
        remark(amount(report.checked_bytes))
    value: JSON = {
        "ok": report.sound,
        "checked": {
            "blobs": report.checked_blobs,
            "bytes": report.checked_bytes,
            "actions": report.checked_actions,
            "trees": report.checked_trees,
        },
        "corrupt": {
            "blobs": list(report.corrupt_blobs),
            "actions": list(report.corrupt_actions),
            "trees": list(report.corrupt_trees),
        },
        "repaired": report.repaired,
    }
    work.emit(value, lambda: _verify_words(report), as_json=json)
    if not report.sound and not repair:
        raise typer.Exit(ExitCode.FINDING)


def _verify_words(report: VerifyReport) -> str:
    blobs = f"{count(report.checked_blobs, 'blob')} ({amount(report.checked_bytes)})"
    lines = [
        f"looked at {blobs}, {count(report.checked_actions, 'record')}, {count(report.checked_trees, 'tree')}",
    ]
    for kind, bad in (
        ("blob", report.corrupt_blobs),
        ("record", report.corrupt_actions),
        ("tree", report.corrupt_trees),
    ):
        lines += [f"corrupted {kind}: {name}" for name in bad]
    if report.sound:
        lines.append("all of it holds")
    elif report.repaired:
        lines.append("what was corrupted is put aside and will be fetched or made anew")
    else:
        lines.append("what next: 'zaffre store verify --repair' puts it aside, so that it is fetched or made anew")
    return "\n".join(lines)
