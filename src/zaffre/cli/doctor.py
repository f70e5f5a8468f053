# SPDX-License-Identifier: Apache-2.0
"""`zaffre doctor`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import table
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.sandbox import Check


def doctor(context: typer.Context, json: JsonOption = False) -> None:
    """Look at this machine: what is there, what is missing, how to get it.

    Takes a second, with a large store some more, and changes nothing. Exit code 1 if something that a build needs is
    missing.

    Example: zaffre doctor
    """
    from zaffre.sandbox import doctor as examine

    work = workspace(context)
    held = work.store.size().total_bytes if work.store_path.is_dir() else None
    checks = examine(space_at=work.store_path, store_bytes=held)
    fit = all(check.ok for check in checks if check.required)
    work.emit({"ok": fit, "checks": [asdict(check) for check in checks]}, lambda: _words(checks, fit=fit), as_json=json)
    if not fit:
        raise typer.Exit(ExitCode.FINDING)


def _words(checks: list[Check], *, fit: bool) -> str:
    rows = [
        ("ok" if check.ok else "MISSING" if check.required else "note", check.name, check.detail) for check in checks
    ]
    remedies = [f"  {check.name}: {check.remedy}" for check in checks if not check.ok and check.remedy]
    verdict = "This machine can build." if fit else "This machine can't build yet."
    return "\n".join([table(rows), "", *(["How to get it:", *remedies, ""] if remedies else []), verdict])
