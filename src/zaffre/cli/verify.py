# SPDX-License-Identifier: Apache-2.0
"""`zaffre verify`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import table
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.trust import VerifyReport


def verify(
    context: typer.Context,
    directory: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|FILE",
            help="The folder of a build, <image>-<version>-<arch>, or a file that 'zaffre convert' made.",
            exists=True,
        ),
    ],
    json: JsonOption = False,
) -> None:
    """Hold a build against its manifest, signatures and verity hashes, or a converted file against its manifest.

    Needs the public halves of your keys, no private one, and the distribution's locked tools. Exit code 1 if anything
    does not hold.

    Example: zaffre verify out/container-host-1.20260504.1-amd64
    """
    from zaffre.cli.making import Making
    from zaffre.trust import verify_build, verify_form

    work = workspace(context)
    if directory.is_file():
        report = verify_form(directory, certificates=work.certificates)
    else:
        sandbox = Making(work).sandbox
        report = verify_build(directory, certificates=work.certificates, sandbox=sandbox, progress=work.progress)
    work.emit(report, lambda: _words(report), as_json=json)
    if not report.ok:
        raise typer.Exit(ExitCode.FINDING)


def _words(report: VerifyReport) -> str:
    rows = [("ok" if check.ok else "BAD", check.name, check.detail) for check in report.checks]
    bad = sum(not check.ok for check in report.checks)
    verdict = "everything holds" if report.ok else f"{bad} of {len(rows)} checks do not hold: remove it, and build anew"
    return f"{table(rows)}\n\n{report.directory}: {verdict}"
