# SPDX-License-Identifier: Apache-2.0
"""What `zaffre check` says of a `.wsl` file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from zaffre.cli.output import count, table
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.cli.context import Workspace
    from zaffre.image.wsl import WslReport


def is_wsl_file(name: str) -> bool:
    """Whether an argument means a file, and not an image of the definition."""
    return name.endswith(".wsl") and Path(name).is_file()


def check_file(work: Workspace, path: Path, *, as_json: bool) -> None:
    """Hold a file against the rules, and say what was found. Exit code 1 for an error."""
    from zaffre.image.wsl import check_wsl

    with work.progress.step(f"read {path.name}"):
        report = check_wsl(path)
    work.emit(report, lambda: _words(report), as_json=as_json)
    if not report.ok:
        raise typer.Exit(ExitCode.FINDING)


def _words(report: WslReport) -> str:
    rows = []
    for rule in report.rules:
        if not rule.findings:
            rows.append(("ok", rule.rule, ""))
        rows += [
            ("FAILED" if finding.severity == "error" else "advice", rule.rule, finding.text)
            for finding in rule.findings
        ]
    errors = sum(finding.severity == "error" for finding in report.findings)
    advice = len(report.findings) - errors
    verdict = f"{count(errors, 'error')}, " if errors else "WSL takes it as it is, "
    verdict += f"{count(advice, 'recommendation')} not kept" if advice else "every recommendation is kept"
    return f"{table(rows)}\n\n{report.file} ({report.architecture or 'of no known architecture'}): {verdict}"
