# SPDX-License-Identifier: Apache-2.0
"""`zaffre repo`: our own apt repository."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import amount, count, table
from zaffre.digest import JSON
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from zaffre.repository.channel import Hand, Moved
    from zaffre.repository.collect import Collected
    from zaffre.repository.overview import Overview
    from zaffre.repository.publish import Published
    from zaffre.repository.reproduce import Twice
    from zaffre.repository.verify import VerifyReport
    from zaffre.upstream.keyring import Keyring

app = typer.Typer(
    help="Your own apt repository: signed snapshots of locks, and channels that machines follow.", no_args_is_help=True
)

TargetArgument = Annotated[str, typer.Argument(metavar="TARGET", help="A folder, or s3://bucket/folder.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@app.command()
def build(
    context: typer.Context,
    to: Annotated[str, typer.Option("--to", metavar="TARGET", help="A folder, or s3://bucket/folder.")],
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="NAME", help="Only the packages of this image, and its base's. Repeatable."),
    ] = None,
    channel: Annotated[
        str | None, typer.Option(metavar="NAME", help="The channel that is moved. Else: the first of [repository].")
    ] = None,
    revision: Annotated[
        int, typer.Option(metavar="N", help="For something else from a lock that is published already.", min=1)
    ] = 1,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Publish what the lock names as a snapshot that never changes, and point a channel at it.

    apt must be able to install every image's packages from the snapshot alone, else nothing is published. Only files
    that are not there yet are written, and machines see the new state when its last file is written.

    Examples: zaffre repo build --to /srv/repo; zaffre repo build --to s3://bucket/repo --image server --dry-run
    """
    from zaffre.cli.making import Making
    from zaffre.repository.build import Order
    from zaffre.repository.target import open_target

    work = workspace(context)
    making = Making(work)
    work.distribution.channel(channel)
    target, hand = open_target(to), _hand(work)
    names = tuple(image or ())
    order = Order(images=names, extra=making.own_packages(names, revision=revision), revision=revision)
    done = making.repository.publish(order, target, hand, channel=channel, dry_run=dry_run)
    work.emit({"dry_run": dry_run, **_fields(done)}, lambda: _published(done, target.shown), as_json=json)


def _published(done: Published, where: str) -> str:
    new = done.moved is not None
    verb = "wrote" if new else "would write"
    lines = [
        f"snapshot {done.snapshot}: {count(done.packages, 'package')}" + ("" if done.fresh else ", published before"),
        f"{verb} {count(done.pool_files, 'package')}, {amount(done.pool_bytes)}",
        f"there already: {count(done.kept_files, 'package')}, {amount(done.kept_bytes)}",
        f"{verb} {count(done.files - done.pool_files, 'other file')}, {amount(done.bytes - done.pool_bytes)}",
    ]
    return "\n".join([*lines, *([_moved(done.moved)] if done.moved else []), where])


@app.command("list")
def list_published(context: typer.Context, target: TargetArgument, json: JsonOption = False) -> None:
    """List snapshots and channels, with their sizes and dates.

    Example: zaffre repo list /srv/repo
    """
    from zaffre.repository.overview import overview
    from zaffre.repository.target import open_target

    work = workspace(context)
    found = overview(open_target(target), _keyring(work), now=work.now)
    work.emit(_fields(found), lambda: _overview(found), as_json=json)


def _overview(found: Overview) -> str:
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
    return "\n\n".join(
        [
            table(snapshots, headers=("SNAPSHOT", "PACKAGES", "SIZE", "NEW", "CHANNELS"), right=(1, 2, 3)),
            table(channels, headers=("CHANNEL", "SNAPSHOT", "MOVED", "GOOD UNTIL", "STATE")),
            f"{found.where}: {count(found.pool_files, 'package')}, {amount(found.pool_bytes)}",
        ]
    )


@app.command()
def verify(
    context: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="TARGET|URL", help="A folder, s3://bucket/folder, or the URL that machines use.")
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Look at sizes of packages, and don't read them.")] = False,
    json: JsonOption = False,
) -> None:
    """Hold a repository against its signatures: ages, indexes, and every package by its digest.

    Over HTTP, the channels and the snapshots that they name are looked at; else all that is there. Exit code 1 if
    anything does not hold.

    Examples: zaffre repo verify /srv/repo; zaffre repo verify https://packages.example/linux --quick
    """
    from zaffre.repository.target import open_readable
    from zaffre.repository.verify import verify_repository

    work = workspace(context)
    report = verify_repository(
        open_readable(target),
        _keyring(work),
        channels=work.distribution.own_repository.channels,
        now=work.now,
        quick=quick,
        progress=work.progress,
    )
    work.emit({"ok": report.ok, **_fields(report)}, lambda: _report(report), as_json=json)
    if not report.ok:
        raise typer.Exit(ExitCode.FINDING)


def _report(report: VerifyReport) -> str:
    rows = [
        ("ok" if check.ok else "BAD", check.name, line) if number == 0 else ("", "", line)
        for check in report.checks
        for number, line in enumerate(check.detail.splitlines() or [""])
    ]
    bad = sum(not check.ok for check in report.checks)
    verdict = "everything holds" if report.ok else f"{bad} of {count(len(report.checks), 'check')} do not hold"
    return f"{table(rows)}\n\n{report.where}: {verdict}"


@app.command()
def promote(
    context: typer.Context,
    target: TargetArgument,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="The channel that is moved.")],
    snapshot: Annotated[str | None, typer.Option(metavar="NAME", help="The snapshot that it is pointed at.")] = None,
    source: Annotated[
        str | None,
        typer.Option("--from", metavar="CHANNEL", help="The channel whose snapshot that is. Else: the first one."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Point a channel at a snapshot that is published: at that of another channel, or at one that is named.

    An older snapshot is taken too; machines that have newer packages keep them.

    Examples: zaffre repo promote /srv/repo stable; zaffre repo promote /srv/repo stable --snapshot 20260504T120000Z
    """
    from zaffre.repository.publish import promote as point
    from zaffre.repository.target import open_target

    if snapshot is not None and source is not None:
        raise typer.BadParameter("name a snapshot or a channel to take it from, not both", param_hint="--from")
    work = workspace(context)
    channel = work.distribution.channel(channel)
    place, hand = open_target(target), _hand(work)
    chosen = snapshot if snapshot is not None else hand.snapshot_of(place, work.distribution.channel(source))
    done = point(place, hand, channel, chosen)
    work.emit(_fields(done), lambda: _moved(done), as_json=json)


@app.command()
def refresh(
    context: typer.Context,
    target: TargetArgument,
    channel: Annotated[
        list[str] | None, typer.Argument(metavar="CHANNEL", help="Only these channels. Else: all of [repository].")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Sign channels anew where they are, before machines take them for out of date. For a timer.

    Example: zaffre repo refresh /srv/repo
    """
    from zaffre.repository.publish import refresh as sign_anew
    from zaffre.repository.target import open_target

    work = workspace(context)
    names = [work.distribution.channel(name) for name in channel or work.distribution.own_repository.channels]
    place = open_target(target)
    done = sign_anew(place, _hand(work), names)
    work.emit(
        {"channels": [_fields(one) for one in done]},
        lambda: "\n".join(map(_moved, done)) or f"{place.shown}: no channel is published here",
        as_json=json,
    )


def _moved(done: Moved) -> str:
    if done.before == done.snapshot:
        where = f"stays at {done.snapshot}"
    elif done.before is None:
        where = f"is at {done.snapshot}"
    else:
        where = f"went from {done.before} to {done.snapshot}"
        where += ", which is older: machines keep what they have" if done.goes_back else ""
    return f"channel {done.channel} {where}, good until {done.valid_until:%Y-%m-%d %H:%M} UTC"


@app.command()
def gc(
    context: typer.Context,
    target: TargetArgument,
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="Snapshots may go that are older than the N newest.", min=0)
    ] = None,
    max_age: Annotated[
        float | None,
        typer.Option("--max-age", metavar="DAYS", help="Snapshots may go that are older than this.", min=0),
    ] = None,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Remove old snapshots, and packages that no snapshot has. What a channel names stays.

    With both --keep and --max-age, what goes must be beyond both; with neither, only what runs that ended early have
    left behind goes.

    Examples: zaffre repo gc /srv/repo --keep 20 --max-age 365 --dry-run; zaffre repo gc /srv/repo
    """
    from zaffre.repository.collect import Rule, collect
    from zaffre.repository.target import open_target

    work = workspace(context)
    rule = Rule(keep, None if max_age is None else timedelta(days=max_age))
    done = collect(open_target(target), _keyring(work), rule, now=work.now, dry_run=dry_run)
    work.emit(_fields(done), lambda: _collected(done), as_json=json)


def _collected(done: Collected) -> str:
    verb = "would remove" if done.dry_run else "removed"
    lines = [f"{verb} snapshot {name}" for name in done.snapshots]
    lines.append(
        f"{verb} {count(done.packages, 'package')} and {count(done.files - done.packages, 'index', 'indexes')}"
    )
    lines.append(
        f"{'would free' if done.dry_run else 'freed'} {amount(done.bytes)}; {count(len(done.kept), 'snapshot')} "
        f"{'stays' if len(done.kept) == 1 else 'stay'}"
    )
    return "\n".join(lines)


def reproduce_all(work: Workspace, *, as_json: bool) -> None:
    """Make the repository twice and print what differs; exit code 1 if anything does."""
    from zaffre.cli.making import Making
    from zaffre.repository.build import Order
    from zaffre.repository.reproduce import Recipe, reproduce_repository
    from zaffre.repository.selection import select

    making = Making(work)
    making.fetch(select(work.distribution, making.lock).packages)
    recipe = Recipe(
        distribution=work.distribution.root.resolve(),
        lock=making.lock,
        order=Order(),
        key=work.archive_key,
        tools=making.sandbox.tools,
        packages=work.store.root,
    )
    found = reproduce_repository(recipe, progress=work.progress)
    work.emit(
        {"reproducible": not found.differences, "artifacts": dict(found.files), "differences": list(found.differences)},
        lambda: _comparison(found),
        as_json=as_json,
    )
    if found.differences:
        raise typer.Exit(ExitCode.FINDING)


def _comparison(found: Twice) -> str:
    verdict = f"{count(len(found.differences), 'file')} differ" if found.differences else "two are bit for bit the same"
    rows = [f"differs  {path}" for path in found.differences]
    return "\n".join([*rows, f"the repository, {count(len(found.files), 'file')}, signatures included: {verdict}"])


def _hand(work: Workspace) -> Hand:
    from zaffre.repository.channel import Hand

    return Hand(work.distribution, work.archive_key, _keyring(work), work.now)


def _keyring(work: Workspace) -> Keyring:
    from zaffre.upstream.keyring import Keyring

    certificate = work.archive_certificate
    return Keyring(certificate.keyring, where=str(certificate.path))


def _fields(value: DataclassInstance) -> dict[str, JSON]:
    """A value as JSON."""
    return {name: _plain(one) for name, one in asdict(value).items()}


def _plain(value: Any) -> JSON:
    """A value of plain parts as JSON has it: times as text."""
    from datetime import datetime

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
