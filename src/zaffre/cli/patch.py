# SPDX-License-Identifier: Apache-2.0
"""`zaffre patch`: from known vulnerabilities to a release without them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from zaffre.cli import patchschedule
from zaffre.cli.build import ArchOption, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.machine import CpusOption, MemoryOption
from zaffre.cli.releasedesk import PENDING, PassphraseOption, PendingOption, RootOption, SignersOption
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.patching import Stage


class _Group(TyperGroup):
    """`zaffre patch` and what follows it means `zaffre patch run`, unless it is a command of the group."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and not set(args[:1]) & {"-h", "--help"}):
            args = ["run", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_Group, help="Mend what is known to be vulnerable: lock, build, check, prove, release.")
app.command("schedule")(patchschedule.schedule)


@app.command()
def run(
    context: typer.Context,
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Only these. Else: all.")] = None,
    plan: Annotated[
        bool, typer.Option("--plan", "--dry-run", help="Say what would change and which CVEs would go; write nothing.")
    ] = False,
    until: Annotated[
        str, typer.Option("--until", metavar="lock|build|check|release", help="The last stage that is done.")
    ] = "release",
    to: Annotated[
        str | None,
        typer.Option("--to", metavar="TARGET", help="Publish there: a folder, or s3://bucket/folder. Else: nowhere."),
    ] = None,
    channel: Annotated[
        str | None, typer.Option("--channel", metavar="NAME", help="Else: the repository's first one.")
    ] = None,
    waves: Annotated[str, typer.Option("--waves", metavar="NAME", help="The pace, of [release.waves].")] = "standard",
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    feed: Annotated[
        list[str] | None,
        typer.Option("--feed", metavar="FILE|URL", help="Another feed, as for 'zaffre scan'. Repeatable."),
    ] = None,
    author: Annotated[
        str, typer.Option("--author", metavar="NAME", help="Who answers for statements that are suggested.")
    ] = "",
    memory: MemoryOption = 1024,
    cpus: CpusOption = 2,
    timeout: Annotated[float, typer.Option(metavar="SECONDS", help="Limit for each check.", min=10)] = 600.0,
    signers: SignersOption = None,
    root: RootOption = None,
    passphrase: PassphraseOption = None,
    pending: PendingOption = PENDING,
    json: JsonOption = False,
) -> None:
    """Mend what the lock has that is known to be vulnerable and has a fix, and prove it.

    Only packages of sources with a fix move, and what they need. The images that this touches are built, checked and
    scanned; then the lock is written, with a signed advisory, and hosts are released. If a check fails, or a build
    still has what its lock mends, the lock stays the old one. If only some fixes can be chosen, these are released,
    and the lock is written. What has no fix yet comes with a statement to begin with.

    Exit code 0 also if there was nothing to mend; 1 if something did not hold, or is still there.

    Examples: zaffre patch --plan; zaffre patch container-host --to /srv/releases; zaffre patch --until lock
    """
    from zaffre.cli.patchbench import PatchBench, Publishing
    from zaffre.cli.patched import words
    from zaffre.patching import Order, patch

    require_profile(profile)
    stage = _stage(until)
    if to is not None and (plan or until != "release"):
        raise DefinitionError(
            "nothing is published before the last stage", where="--to", resolution="leave out --plan and --until"
        )
    work = workspace(context)
    named = tuple(work.distribution.image(name).name for name in images or ())
    architecture = str(work.distribution.architecture(arch))
    publishing = Publishing(to, channel, waves, signers, root, passphrase, pending) if to is not None else None
    if publishing is not None:
        publishing.require(work)
    bench = PatchBench(
        work=work,
        architecture=architecture,
        profile=profile,
        out=out,
        feeds=feed or (),
        memory=memory,
        cpus=cpus,
        seconds=timeout,
        publishing=publishing,
    )
    order = Order(images=named, architecture=architecture, until=stage, dry_run=plan, out=out, author=author)
    report = patch(bench, order)
    work.emit(report, lambda: words(report, order), as_json=json)
    if not report.done:
        raise typer.Exit(ExitCode.FINDING)


def _stage(name: str) -> Stage:
    from zaffre.patching import Stage

    if name not in set(Stage):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(Stage)}", param_hint="--until")
    return Stage(name)
