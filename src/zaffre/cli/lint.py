# SPDX-License-Identifier: Apache-2.0
"""`zaffre lint`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.build import ArchOption, OutOption, ProfileOption, require_profile
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import table
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.customiser.lint import LintReport


def lint(
    context: typer.Context,
    image: Annotated[
        str,
        typer.Argument(metavar="IMAGE|DIR|FILE", help="An image of the definition, a build's folder, or a raw disk."),
    ],
    arch: ArchOption = None,
    out: OutOption = Path("out"),
    profile: ProfileOption = "dev",
    variables: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="The variables of the machine's firmware, too: its /sys/firmware/efi/efivars, or a copy.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Hold a host against what updates in place need, so that none leaves it without a system that boots.

    Looks at the boot loader's settings, the transfer files of systemd-sysupdate, the health of a boot and its gate, and
    the slots on the disk; with --variables, at the firmware of the machine that has the disk. An image of the
    definition is built first. Exit code 1 if anything does not hold. A build refuses to make a host whose own files do
    not hold.

    Examples: zaffre lint container-host; zaffre lint disk-of-a-machine.raw --json
    """
    from zaffre.cli.making import Making
    from zaffre.customiser.lint import lint_disk

    require_profile(profile)
    work = workspace(context)
    making = Making(work)
    path = Path(image)
    if path.is_dir():
        path /= "image.raw"
    elif not path.is_file():
        path = making.build(image, architecture=arch, profile=profile, out=out).folder / "image.raw"
    with work.store.scratch("lint") as scratch:
        report = lint_disk(path, scratch, sandbox=making.sandbox, variables=variables)
    work.emit(report, lambda: _words(report), as_json=json)
    if not report.ok:
        raise typer.Exit(ExitCode.FINDING)


def _words(report: LintReport) -> str:
    if report.ok:
        return f"{report.image}: an update can be taken back"
    rows = [(one.rule, one.where, f"{one.found}; wanted: {one.wanted}") for one in report.breaches]
    return f"{table(rows)}\n\n{report.image}: an update could leave this host without a system that boots"
