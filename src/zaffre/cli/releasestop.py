# SPDX-License-Identifier: Apache-2.0
"""`zaffre release revoke`, `pause` and `resume`: when a release is bad, or may be."""

from __future__ import annotations

from typing import Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.releasedesk import (
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
    root_path,
)

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help="The version of the release.")]


def revoke(
    context: typer.Context,
    target: TargetArgument,
    version: VersionArgument,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the people who ask a node.")],
    image: ImageOption = None,
    arch: ArchitectureOption = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Take a release back, in every channel: no node begins it, and one that runs it takes the next newer one.

    Example: zaffre release revoke /srv/releases 1.20260504.1 --reason "does not boot with two network cards"
    """
    from zaffre.release.change import Change
    from zaffre.release.operate import revoke as revoked
    from zaffre.release.selection import cut_off, pick
    from zaffre.release.state import State

    work = workspace(context)
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)
    notes: list[str] = []

    def make(state: State) -> Change:
        product = pick(state, image, arch, version)
        change = revoked(state, product, version, reason, now=work.now)
        for channel, left in cut_off(state, change, product).items():
            notes.append(f"\nin '{channel}', {', '.join(left)} now have no way to the newest good version: publish one")
        return change

    outcome = desk.carry_out(make, dry_run=dry_run)
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json, more="".join(notes))


def pause(
    context: typer.Context,
    target: TargetArgument,
    channel: ChannelArgument,
    version: VersionArgument,
    image: ImageOption = None,
    arch: ArchitectureOption = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Stop a rollout where it is: no further node begins, until it is resumed.

    Example: zaffre release pause /srv/releases stable 1.20260504.1
    """
    from zaffre.release.operate import pause as paused
    from zaffre.release.selection import pick

    work = workspace(context)
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)
    outcome = desk.carry_out(
        lambda state: paused(state, channel, pick(state, image, arch, version), version, now=work.now), dry_run=dry_run
    )
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json)


def resume(
    context: typer.Context,
    target: TargetArgument,
    channel: ChannelArgument,
    version: VersionArgument,
    image: ImageOption = None,
    arch: ArchitectureOption = None,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    dry_run: DryRunOption = False,
    json: JsonOption = False,
) -> None:
    """Let a paused rollout go on where it stopped.

    Example: zaffre release resume /srv/releases stable 1.20260504.1
    """
    from zaffre.release.operate import resume as resumed
    from zaffre.release.selection import pick

    work = workspace(context)
    desk = open_desk(work, target, signers=signers, root=root, passphrase=passphrase, pending=pending)
    outcome = desk.carry_out(
        lambda state: resumed(state, channel, pick(state, image, arch, version), version, now=work.now), dry_run=dry_run
    )
    finish(work, outcome, target, root=root_path(work, signers, root), as_json=json)
