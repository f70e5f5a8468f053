# SPDX-License-Identifier: Apache-2.0
"""`zaffre release`: what looks at a repository of releases, and what looks after it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import amount, count
from zaffre.cli.releasedesk import (
    PENDING,
    ArchitectureOption,
    DryRunOption,
    ImageOption,
    PassphraseOption,
    PendingOption,
    RootOption,
    SignersOption,
    TargetArgument,
    finish,
    open_desk,
    published,
    read_root,
    root_path,
)
from zaffre.errors import ExitCode

SourceArgument = Annotated[
    str, typer.Argument(metavar="TARGET|URL", help="A folder, s3://bucket/folder, or the URL that nodes use.")
]


def list_releases(
    context: typer.Context,
    target: SourceArgument,
    signers: SignersOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """List the releases of every channel, how far each has come, and until when the metadata are good.

    Example: zaffre release list /srv/releases
    """
    from zaffre.cli.releasewords import overview_words
    from zaffre.release.overview import overview

    work = workspace(context)
    found = overview(published(work, target, signers, root), work.now)
    work.emit(found, lambda: "\n".join(overview_words(found)), as_json=json)


def show(
    context: typer.Context,
    target: SourceArgument,
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help="A channel of the repository.")],
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="Else: the newest that is not revoked.")
    ] = None,
    image: ImageOption = None,
    arch: ArchitectureOption = None,
    signers: SignersOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Say all that a channel tells nodes of a release: files, deltas, pace, floor, evidence.

    Example: zaffre release show /srv/releases stable
    """
    from zaffre.cli.releasewords import shown_words
    from zaffre.release.overview import shown
    from zaffre.release.selection import choose

    work = workspace(context)
    state = published(work, target, signers, root)
    record = choose(state, channel, image, arch, version)
    found = shown(state, channel, record)
    work.emit(found, lambda: "\n".join(shown_words(found, work.now)), as_json=json)


def verify(
    context: typer.Context,
    target: SourceArgument,
    quick: Annotated[bool, typer.Option("--quick", help="Look at sizes of files, and don't read them.")] = False,
    memory: Annotated[
        Path | None,
        typer.Option("--memory", metavar="DIR", help="Keep there what was seen, and refuse what is older next time."),
    ] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    json: JsonOption = False,
) -> None:
    """Hold a repository, or anybody's mirror of it, against the root that you trust.

    Whole: every file of every channel is there, with its length and digest. Fresh: nothing has expired, and with
    --memory nothing is older than what was seen there before. Exit code 1 if anything does not hold.

    Examples: zaffre release verify /srv/releases; zaffre release verify https://mirror.example/acme --root root.json
    """
    from zaffre.cli.published import fields
    from zaffre.cli.releasewords import verified_words
    from zaffre.place.target import open_readable
    from zaffre.release.verify import verify_releases

    work = workspace(context)
    report = verify_releases(
        open_readable(target),
        read_root(work, signers, root),
        memory=memory,
        now=work.now,
        quick=quick,
        progress=work.progress,
    )
    work.emit({"ok": report.ok, **fields(report)}, lambda: verified_words(report), as_json=json)
    if not report.ok:
        raise typer.Exit(ExitCode.FINDING)


def refresh(
    context: typer.Context,
    target: TargetArgument,
    role: Annotated[
        str | None, typer.Option("--role", metavar="ROLE", help="Sign this one anew too: a channel, targets or root.")
    ] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    json: JsonOption = False,
) -> None:
    """Sign snapshot and timestamp anew, before nodes take them for out of date. For a timer.

    It also says which other roles end within a month.

    Examples: zaffre release refresh /srv/releases; zaffre release refresh /srv/releases --role stable
    """
    from zaffre.release.overview import overview
    from zaffre.release.state import load_state

    work = workspace(context)
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)
    outcome = desk.renew(role)
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json)
    if outcome.done is not None:
        for one in overview(load_state(desk.place, outcome.done.root), work.now).roles:
            if one.soon:
                until = f"{one.expires:%Y-%m-%d}"
                work.progress.note(
                    f"'{one.role}' is good until {until} only: zaffre release refresh {target} --role {one.role}"
                )


def gc(
    context: typer.Context,
    target: TargetArgument,
    keep: Annotated[
        int | None, typer.Option(metavar="N", help="Releases may go that have N newer good ones.", min=1)
    ] = None,
    max_age: Annotated[
        float | None, typer.Option("--max-age", metavar="DAYS", help="Releases may go that are older.", min=0)
    ] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Drop old releases from their channels, and remove files that no release has.

    With both --keep and --max-age, what goes must be beyond both. A release stays over which older nodes come to the
    newest. Files go one run after their release, so that no node misses them in the middle; roots stay for ever.

    Example: zaffre release gc /srv/releases --keep 5 --max-age 180 --dry-run
    """
    from zaffre.release.collect import Rule, collect

    work = workspace(context)
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)
    rule = Rule(keep, None if max_age is None else timedelta(days=max_age))
    done = collect(desk, rule, dry_run=dry_run)
    verb = "would remove" if dry_run else "removed"
    words = [f"\ndropped from '{channel}': {path}" for channel, paths in done.dropped.items() for path in paths]
    words.append(f"\n{verb} {count(len(done.removed), 'file')}, {amount(sum(done.removed.values()))}")
    finish(work, done.outcome, target, root=root_path(work, signers, root), as_json=json, more="".join(words))
