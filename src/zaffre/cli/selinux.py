# SPDX-License-Identifier: Apache-2.0
"""`zaffre selinux`: from what was refused to what is to be allowed."""

from __future__ import annotations

import json as plain_json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import count
from zaffre.errors import DefinitionError, ExitCode, WorldError

if TYPE_CHECKING:
    from zaffre.selinux import Suggestion

app = typer.Typer(help="SELinux: from what was refused to what is to be allowed.", no_args_is_help=True)

_MOST_BYTES = 64 << 20


@app.callback()
def group() -> None:
    """Keep `suggest` a command of its own, though it is the only one."""


@app.command()
def suggest(
    context: typer.Context,
    log: Annotated[
        Path,
        typer.Argument(
            metavar="LOG",
            help="A text with denials: of the journal, the kernel's log or an audit log; or a build's .check.json.",
            allow_dash=True,
        ),
    ] = Path("-"),
    domain: Annotated[
        str | None, typer.Option("--domain", metavar="TYPE", help="Only what was refused to this domain.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print rules that would allow what SELinux has refused, as a file for selinux.files. Read it before use.

    Each rule has above it what asked for it. A rule that would undo the policy is left out, in a comment that says why:
    the host's files for a container, passwords, the disk itself. Exit code 1 if there is one, or a denial that can't
    be read. Without LOG, standard input is read. Nothing is written. Of the journal, give it what the kernel and the
    audit log told: anybody can write to the rest.

    Examples: journalctl --boot _TRANSPORT=kernel + _TRANSPORT=audit | zaffre selinux suggest >selinux/my-agent.cil;
    zaffre selinux suggest out/my-host-1.20261126.1-amd64.check.json --domain my_agent_t
    """
    from zaffre.selinux import denials_in, module_text
    from zaffre.selinux import suggest as suggested

    work = workspace(context)
    read = denials_in(_lines(_text(log)))
    found = suggested(read.denials, read.unread, domain=domain)
    work.progress.note(_summary(found))
    work.emit(found.plain(), lambda: module_text(found).rstrip("\n"), as_json=json)
    if not found.complete:
        raise typer.Exit(ExitCode.FINDING)


def _text(log: Path) -> str:
    where = "standard input" if log == Path("-") else str(log)
    try:
        if log == Path("-"):
            data = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with log.open("rb") as file:
                data = file.read(_MOST_BYTES + 1)
    except (FileNotFoundError, IsADirectoryError) as error:
        raise DefinitionError("there is no such file", where=where) from error
    except OSError as error:
        raise WorldError("the log can't be read", where=where, details=error.strerror) from error
    if len(data) > _MOST_BYTES:
        raise DefinitionError(
            f"the log is larger than {_MOST_BYTES >> 20} MiB",
            where=where,
            resolution="keep the lines with denials only: grep 'avc: *denied'",
        )
    return data.decode("utf-8", "replace")


def _lines(text: str) -> list[str]:
    """Those of a log, or the denials that a check has recorded."""
    if not text.startswith("{"):
        # Not splitlines: what that counts as the end of a line may be in a name.
        return text.split("\n")
    try:
        told = plain_json.loads(text)
        denials = told.get("report", told)["denials"]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
        # The journal as JSON is lines that begin like that too.
        return [_message(line) for line in text.split("\n")]
    return [str(line) for line in denials]


def _message(line: str) -> str:
    """Of an entry of the journal as JSON: other fields have words of whoever asked too, in any order. What cannot be
    printed is told as a list of bytes.
    """
    try:
        told = plain_json.loads(line)["MESSAGE"]
        return told if isinstance(told, str) else bytes(told).decode("utf-8", "replace")
    except (ValueError, KeyError, TypeError, RecursionError):
        return line


def _summary(found: Suggestion) -> str:
    words = [count(len(found.rules), "rule")]
    looks = sum(rule.concern is not None for rule in found.rules)
    if looks:
        words.append(f"{looks} of them to be looked at")
    if found.refused:
        words.append(f"{len(found.refused)} left out, which would undo the policy")
    if found.unread:
        words.append(f"{count(len(found.unread), 'denial')} not read")
    return ", ".join(words)
