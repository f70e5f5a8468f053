# SPDX-License-Identifier: Apache-2.0
"""`zaffre repo`: our own apt repository."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.published import (
    collected_words,
    comparison_words,
    fields,
    moved_words,
    overview_words,
    published_words,
    verified_words,
)
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.repository.channel import Hand
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
    from zaffre.place.target import open_target
    from zaffre.repository.build import Order

    work = workspace(context)
    making = Making(work)
    work.distribution.channel(channel)
    target, signer = open_target(to), hand(work)
    names = tuple(image or ())
    order = Order(images=names, extra=making.own_packages(names, revision=revision), revision=revision)
    done = making.repository.publish(order, target, signer, channel=channel, dry_run=dry_run)
    work.emit({"dry_run": dry_run, **fields(done)}, lambda: published_words(done, target.shown), as_json=json)


@app.command()
def client(
    context: typer.Context,
    channel: Annotated[
        str | None, typer.Argument(metavar="CHANNEL", help="The channel to follow. Else: the first of [repository].")
    ] = None,
    snapshot: Annotated[
        str | None, typer.Option(metavar="NAME", help="A snapshot to stay at, in the place of a channel.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print the file by which a machine with apt follows the repository. It has the public key in it.

    Examples: zaffre repo client stable >acme.sources; zaffre repo client --snapshot 20260504T120000Z
    """
    from zaffre.repository.layout import snapshot_key, snapshot_suite

    if snapshot is not None and channel is not None:
        raise typer.BadParameter("follow a channel or stay at a snapshot, not both", param_hint="--snapshot")
    work = workspace(context)
    suite = work.distribution.channel(channel)
    if snapshot is not None:
        snapshot_key(snapshot)
        suite = snapshot_suite(snapshot)
    text = work.distribution.apt_source(suite, work.archive_certificate.armoured)
    path = f"/etc/apt/sources.list.d/{work.distribution.identity.id}.sources"
    work.progress.note(f"it belongs to {path}")
    work.emit({"path": path, "text": text}, text.rstrip, as_json=json)


@app.command("list")
def list_published(context: typer.Context, target: TargetArgument, json: JsonOption = False) -> None:
    """List snapshots and channels, with their sizes and dates.

    Example: zaffre repo list /srv/repo
    """
    from zaffre.place.target import open_target
    from zaffre.repository.overview import overview

    work = workspace(context)
    found = overview(open_target(target), _keyring(work), now=work.now)
    work.emit(fields(found), lambda: overview_words(found), as_json=json)


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
    from zaffre.place.target import open_readable
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
    work.emit({"ok": report.ok, **fields(report)}, lambda: verified_words(report), as_json=json)
    if not report.ok:
        raise typer.Exit(ExitCode.FINDING)


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
    from zaffre.place.target import open_target
    from zaffre.repository.publish import promote as point

    if snapshot is not None and source is not None:
        raise typer.BadParameter("name a snapshot or a channel to take it from, not both", param_hint="--from")
    work = workspace(context)
    channel = work.distribution.channel(channel)
    place, signer = open_target(target), hand(work)
    chosen = snapshot if snapshot is not None else signer.snapshot_of(place, work.distribution.channel(source))
    done = point(place, signer, channel, chosen)
    work.emit(fields(done), lambda: moved_words(done), as_json=json)


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
    from zaffre.place.target import open_target
    from zaffre.repository.publish import refresh as sign_anew

    work = workspace(context)
    names = [work.distribution.channel(name) for name in channel or work.distribution.own_repository.channels]
    place = open_target(target)
    done = sign_anew(place, hand(work), names)
    work.emit(
        {"channels": [fields(one) for one in done]},
        lambda: "\n".join(map(moved_words, done)) or f"{place.shown}: no channel is published here",
        as_json=json,
    )


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
    from zaffre.place.target import open_target
    from zaffre.repository.collect import Rule, collect

    work = workspace(context)
    rule = Rule(keep, None if max_age is None else timedelta(days=max_age))
    done = collect(open_target(target), _keyring(work), rule, now=work.now, dry_run=dry_run)
    work.emit(fields(done), lambda: collected_words(done), as_json=json)


def reproduce_all(work: Workspace, *, as_json: bool) -> None:
    """Make the repository twice and print what differs; exit code 1 if anything does."""
    from zaffre.cli.making import Making
    from zaffre.repository.build import Order
    from zaffre.repository.reproduce import Recipe, reproduce_repository
    from zaffre.repository.selection import select

    making = Making(work)
    making.repository.bring(select(work.distribution, making.lock))
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
        lambda: comparison_words(found),
        as_json=as_json,
    )
    if found.differences:
        raise typer.Exit(ExitCode.FINDING)


def hand(work: Workspace) -> Hand:
    """Who signs for the distribution's repository: its owner, now."""
    from zaffre.repository.channel import Hand

    return Hand(work.distribution, work.archive_key, _keyring(work), work.now)


def _keyring(work: Workspace) -> Keyring:
    from zaffre.upstream.keyring import Keyring

    certificate = work.archive_certificate
    return Keyring(certificate.keyring, where=str(certificate.path))
