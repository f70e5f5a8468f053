# SPDX-License-Identifier: Apache-2.0
"""Failures as a person, or a program, reads them: what, where, and what to do next."""

from __future__ import annotations

import errno
import json
import os
import sys
from dataclasses import asdict, dataclass

from zaffre.errors import ExitCode, ToolError, ZaffreError

_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Failure:
    """What is said of an error. `command` is a line that can be pasted to run the failed tool again."""

    brief: str
    exit_code: ExitCode
    where: str | None = None
    details: str | None = None
    resolution: str | None = None
    command: str | None = None


def describe(error: BaseException) -> Failure:
    """Words for any exception. One that nobody foresaw is called what it is: a bug in Zaffre."""
    match error:
        case ZaffreError():
            return Failure(
                brief=error.brief,
                exit_code=error.exit_code,
                where=error.where,
                details=error.details,
                resolution=error.resolution,
                command=error.command if isinstance(error, ToolError) else None,
            )
        case KeyboardInterrupt():
            return Failure(
                brief="interrupted; finished steps are kept",
                exit_code=ExitCode.WORLD,
                resolution="run the same command again: it goes on from there",
            )
        case OSError(errno=number) if number in _FULL:
            return Failure(
                brief="there is no room left on the disk",
                exit_code=ExitCode.WORLD,
                where=_place(error),
                resolution="make room, for instance with 'zaffre store gc', then run the same command again",
            )
        case OSError(strerror=str(reason)):
            return Failure(
                brief=reason[:1].lower() + reason[1:],
                exit_code=ExitCode.WORLD,
                where=_place(error),
                resolution=f"see that this path can be used as needed; {_TRACEBACK}",
            )
        case _:
            return Failure(
                brief="this is a bug in Zaffre, not something you did",
                exit_code=ExitCode.WORLD,
                details=f"{type(error).__name__}: {error}",
                resolution=f"please report it; {_TRACEBACK}",
            )


_TRACEBACK = "ZAFFRE_DEBUG=1 before the same command shows where in the program it happened"


def _place(error: OSError) -> str | None:
    name = error.filename if error.filename2 is None else error.filename2
    if isinstance(name, bytes):
        return os.fsdecode(name)
    return str(name) if name is not None else None


def render(failure: Failure, *, colour: bool) -> str:
    """Several lines for a terminal or a log, the most important one first."""
    red, bold, plain = ("\033[31m", "\033[1m", "\033[0m") if colour else ("", "", "")
    lines = [f"{red}{bold}error:{plain} {bold}{failure.brief}{plain}"]
    if failure.where:
        lines.append(f"  where: {failure.where}")
    if failure.details:
        lines += [f"    {line}" for line in failure.details.rstrip("\n").splitlines()]
    if failure.command:
        lines.append(f"  to run it again by hand: {failure.command}")
    if failure.resolution:
        lines.append(f"  {bold}what next:{plain} {failure.resolution}")
    return "\n".join(lines)


def show(failure: Failure, *, as_json: bool) -> None:
    """Print it to standard error; with `--json` also as `{"error": {...}}` where the result would have been."""
    colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    print(render(failure, colour=colour), file=sys.stderr)
    if as_json:
        print(json.dumps({"error": asdict(failure)}, indent=2, ensure_ascii=False), flush=True)
