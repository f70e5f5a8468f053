# SPDX-License-Identifier: Apache-2.0
"""`zaffre release`: what changes a repository of releases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import amount, count, table
from zaffre.cli.releasedeltas import DeltasOption, deltas, publish_candidate
from zaffre.cli.releasedesk import (
    CHANNELS,
    PENDING,
    ArchitectureOption,
    ChannelArgument,
    DryRunOption,
    ImageOption,
    PassphraseOption,
    PendingOption,
    RootOption,
    SignersOption,
    TargetArgument,
    finish,
    open_desk,
    parse_time,
    root_path,
    seal_of,
)

WavesOption = Annotated[str, typer.Option("--waves", metavar="NAME", help="The pace, of [release.waves].")]
BeginOption = Annotated[
    str | None, typer.Option("--begin", metavar="TIME", help="When the first nodes begin. Else: now.")
]
BuildArgument = Annotated[
    Path, typer.Argument(metavar="BUILD", help="The folder that 'zaffre build' made.", exists=True)
]


def init(
    context: typer.Context,
    target: TargetArgument,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel", metavar="NAME", help="A channel, the least trusted first. Repeatable. Else: dev, stable."
        ),
    ] = None,
    threshold: Annotated[
        int, typer.Option("--threshold", metavar="N", min=1, help="Signatures that a root takes.")
    ] = 2,
    days: Annotated[
        list[str] | None,
        typer.Option("--days", metavar="ROLE=N", help="For how long a role is signed. Repeatable."),
    ] = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    json: JsonOption = False,
) -> None:
    """Begin a repository of releases: its first root, and a channel for each stage.

    The keys are found by their names: root-1, root-2 and so on, targets, snapshot, timestamp, and one for each channel.
    Those that are elsewhere sign later. The first root is written to --root: it belongs into your images.

    Example: zaffre release init /srv/releases --channel dev --channel stable
    """
    from zaffre.release.metadata import DEFAULT_DAYS
    from zaffre.release.rotate import found, parse_days, trustees_by_name

    work = workspace(context)
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending, first=True)
    lasting = {**DEFAULT_DAYS, **parse_days(days or [])}
    channels = channel or CHANNELS
    change = found(trustees_by_name(desk.ring, channels, threshold), channels, lasting, now=work.now)
    outcome = desk.found(change)
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json)


def create(
    context: typer.Context,
    build: BuildArgument,
    floor: Annotated[
        str | None,
        typer.Option("--floor", metavar="VERSION", help="The oldest version that may come to this one directly."),
    ] = None,
    notes: Annotated[str, typer.Option("--notes", metavar="TEXT", help="What is new, in words.")] = "",
    whole: Annotated[
        bool, typer.Option("--whole", help="Its disk images too, and not only what updates need.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Make a release of a build that passed 'zaffre check'.

    The report of the check lies beside the build, signed, and must be about these very files; it becomes part of the
    release. So do the files that a node's other slot is written from, or the extension, which must be sealed by your
    verity key. Nothing is published yet.

    Example: zaffre release create out/container-host-1.20260504.1-amd64 --floor 1.20260301.1
    """
    from zaffre.release.candidate import create as make
    from zaffre.release.candidate import write_candidate

    work = workspace(context)
    made = make(
        build,
        work.certificates,
        seal=seal_of(work),
        floor=floor,
        notes=notes,
        whole=whole,
        now=work.now,
        progress=work.progress,
    )
    path = write_candidate(build, made)
    size = sum(file.size for file in made.files.values())

    def words() -> str:
        title = f"{made.image} {made.version} for {made.architecture}"
        rows = [(f"  {name}", amount(file.size), file.sha256[:16]) for name, file in sorted(made.files.items())]
        return "\n".join(
            [
                f"{title}: {count(len(made.files), 'file')}, {amount(size)}",
                table(rows, right=(1,)),
                f"checked {made.evidence.checked:%Y-%m-%d %H:%M} UTC: all {made.evidence.held} lines held",
                f"floor: {made.floor or 'none, every older version may come to it'}",
                str(path),
            ]
        )

    work.emit(made, words, as_json=json)


def publish(
    context: typer.Context,
    build: BuildArgument,
    target: TargetArgument,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="Else: the repository's first one.")
    ] = None,
    waves: WavesOption = "standard",
    begin: BeginOption = None,
    delta: DeltasOption = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Publish a release in a channel, at the pace of a schedule.

    Nodes of the versions before it get deltas. Files first, the timestamp last: nodes see the old state or the new one.
    If it stops half-way, run it again.
    Refused: a version that isn't newer than all that the channel has, and a floor over which nodes could not come.

    Examples: zaffre release publish out/container-host-1.20260504.1-amd64 /srv/releases; add --dry-run to look first
    """
    from zaffre.release.candidate import read_candidate
    from zaffre.release.operate import rollout

    work = workspace(context)
    pace = rollout(waves, work.distribution.waves(waves), parse_time(begin, work.now, "--begin"))
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)
    found = read_candidate(build, work.certificates, work.progress, seal=seal_of(work))
    outcome = publish_candidate(work, desk, found, pace, channel=channel, count=delta, dry_run=dry_run)
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json)


def promote(
    context: typer.Context,
    target: TargetArgument,
    channel: ChannelArgument,
    version: Annotated[
        str | None, typer.Option("--version", metavar="VERSION", help="Else: the newest that is not revoked.")
    ] = None,
    source: Annotated[
        str | None, typer.Option("--from", metavar="CHANNEL", help="Else: the repository's first one.")
    ] = None,
    image: ImageOption = None,
    arch: ArchitectureOption = None,
    waves: WavesOption = "standard",
    begin: BeginOption = None,
    delta: DeltasOption = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Offer in one channel what another one has, at a pace of its own. The same files serve both; deltas are made
    for the versions that this channel has.

    Example: zaffre release promote /srv/releases stable --waves standard
    """
    from zaffre.offer import Record
    from zaffre.release.change import Change
    from zaffre.release.deltas import Goal, Made
    from zaffre.release.operate import promote as promoted
    from zaffre.release.operate import rollout
    from zaffre.release.payload import payload_of_promoted
    from zaffre.release.publish import Payload
    from zaffre.release.selection import choose
    from zaffre.release.state import State

    work = workspace(context)
    pace = rollout(waves, work.distribution.waves(waves), parse_time(begin, work.now, "--begin"))
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)

    def origin(state: State) -> str:
        return source or next(iter(state.channels))

    def chosen(state: State) -> Record:
        return choose(state, origin(state), image, arch, version)

    def make(state: State, made: tuple[Made, ...] = ()) -> Change:
        one, source = chosen(state), origin(state)
        targets = [one.target for one in made]
        return promoted(
            state, channel, one.product, one.version, source=source, pace=pace, now=work.now, deltas=targets
        )

    def bring(state: State, made: tuple[Made, ...]) -> Payload:
        return payload_of_promoted(desk.place, state, origin(state), channel, chosen(state), deltas=made)

    def goal(state: State) -> Goal:
        return Goal.of_record(chosen(state), state.role(origin(state)).signed)

    with deltas(work, desk, delta, channel=lambda _: channel, change=make, goal=goal) as made:
        outcome = desk.carry_out(lambda state: make(state, made), lambda state: bring(state, made), dry_run=dry_run)
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json)
