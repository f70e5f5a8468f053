# SPDX-License-Identifier: Apache-2.0
"""The program's outermost frame: options that may stand anywhere, failures into words, words into exit codes.

The exit codes are `zaffre.errors.ExitCode` and no others. An interrupted run is 3, the outside world's doing,
since every step that had finished is kept and the same command goes on from there.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from zaffre.cli.app import Escaped, make_app
from zaffre.cli.context import Workspace
from zaffre.cli.failure import Failure, describe, show
from zaffre.cli.interrupt import Requests
from zaffre.errors import ExitCode

_UsageError = typer.BadParameter.__bases__[0]
_VALUED = ("--distro", "--store", "--keys", "--mirror")
_PLAIN = ("--quiet", "-q")


def run(arguments: Sequence[str], requests: Requests) -> int:
    """Run one command and return its exit code. Never raises."""
    workspace = Workspace()
    try:
        with workspace:
            result = make_app()(args=globals_first(arguments), prog_name="zaffre", obj=workspace, standalone_mode=False)
        requests.over()
        sys.stdout.flush()
        return int(result) if isinstance(result, int) else ExitCode.DONE
    except Escaped as escaped:
        error: BaseException = escaped.cause
    except (Exception, KeyboardInterrupt) as other:  # noqa: BLE001 - the last frame: whatever arrives becomes words
        error = other
    requests.over()
    return _fail(error, arguments)


def globals_first(arguments: Sequence[str]) -> list[str]:
    """Move the options that belong to every command to the front, so that they may stand after it too.

    What follows `--` is left alone. No command has an option of the same name.
    """
    front: list[str] = []
    rest: list[str] = []
    queue = list(arguments)
    while queue:
        word = queue.pop(0)
        if word == "--":
            rest += [word, *queue]
            break
        if word in _VALUED and queue:
            front += [word, queue.pop(0)]
        elif word in _PLAIN or word.startswith(tuple(f"{name}=" for name in _VALUED)):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def _fail(error: BaseException, arguments: Sequence[str]) -> int:
    if isinstance(error, BrokenPipeError) and _reader_gone():
        # `zaffre show ... | head`: who reads has seen enough. Nothing more can be said to them.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    if os.environ.get("ZAFFRE_DEBUG") and not isinstance(error, KeyboardInterrupt):
        import traceback

        traceback.print_exception(error)
    if type(error).__name__ == "NoArgsIsHelpError":  # a group without a command: its message is its help
        print(error, file=sys.stderr)
        return ExitCode.USAGE
    failure = _usage(error) if isinstance(error, _UsageError) else describe(error)
    show(failure, as_json="--json" in arguments)
    return failure.exit_code


def _usage(error: BaseException) -> Failure:
    """A wrong option or argument: click's own message, and where the command is explained."""
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "zaffre"
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    return Failure(
        brief=message.strip().removesuffix("."),
        where=command,
        resolution=f"'{command} --help' explains it, with examples",
        exit_code=ExitCode.USAGE,
    )


def _reader_gone() -> bool:
    """Whether standard output is a pipe without a reader (and it was not a tool's pipe that broke)."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return error.errno == errno.EPIPE
    return False
