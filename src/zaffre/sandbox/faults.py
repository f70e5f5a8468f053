# SPDX-License-Identifier: Apache-2.0
"""How a program failed, in words: what, its last lines, and what to do next."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Sequence
from pathlib import Path

from zaffre.errors import DiskFullError, ToolError, WorldError
from zaffre.sandbox.process import Ended
from zaffre.store import disk_full_error

_LINES = 20
_FULL_TEXT = re.compile(r"No space left on device|Disk quota exceeded", re.IGNORECASE)
_FULL_SHARE = 0.02
_NOT_FOUND = re.compile(r"^bwrap: execvp (?P<name>.*): No such file or directory$", re.MULTILINE)


def missing_bwrap() -> WorldError:
    return WorldError(
        "bubblewrap (bwrap) is not installed",
        resolution="install it: `apt install bubblewrap` (Debian, Ubuntu) or `dnf install bubblewrap` (Fedora); "
        "`zaffre doctor` tells all that is missing",
    )


def missing_faketime() -> WorldError:
    return WorldError(
        "the tools tree has no libfaketime, so the clock cannot be moved",
        resolution='add "libfaketime" to `packages` of [tools] in zaffre.toml (and to `target` of [tools.cross], for '
        "programs of another architecture), then run `zaffre lock`",
    )


def stopped(ended: Ended) -> bool:
    """Whether the program did not end by itself, or never began."""
    return ended.timed_out or ended.too_much_output or ended.fatal or _setup_failed(ended)


def _setup_failed(ended: Ended) -> bool:
    return ended.returncode == 1 and not ended.stdout and ended.stderr_tail.startswith("bwrap: ")


def tool_error(
    argv: Sequence[str], ended: Ended, *, command: str, timeout: float, writable: Sequence[Path]
) -> ToolError | DiskFullError:
    """The error for a program that did not end well. `writable`: host directories that it could write to."""
    name = Path(argv[0]).name
    tail = "\n".join(ended.log_tail.splitlines()[-_LINES:])
    resolution = "paste the command to run it again in the same sandbox"
    if ended.timed_out:
        brief = f"{name} did not end within its {timeout:g} s and was stopped"
        resolution = f"a slow or busy machine may need to try again; {resolution}"
    elif ended.too_much_output:
        brief = f"{name} printed more than it may and was stopped"
    elif missing := _NOT_FOUND.search(ended.stderr_tail):
        brief = f"{missing['name']} is not in the tree that it should run in"
        resolution = "add the package that holds it to `packages` of [tools] in zaffre.toml, then run `zaffre lock`"
    elif _setup_failed(ended):
        brief = f"the sandbox for {name} could not be set up"
        resolution = "run `zaffre doctor`: it says what the host lacks; " + resolution
    else:
        full = _full(ended.log_tail, writable)
        if full is not None:
            return full
        brief = f"{name} failed" if ended.fatal else f"{name} failed ({_exit(ended.returncode)})"
    return ToolError(
        brief, command=command, returncode=ended.returncode, details=tail or "it printed nothing", resolution=resolution
    )


def _exit(code: int) -> str:
    """bubblewrap, like a shell, gives 128 + n for a program that signal n ended."""
    if code > 128:
        try:
            return f"exit {code}, that is signal {signal.Signals(code - 128).name}"
        except ValueError:
            pass
    return f"exit {code}"


def _full(text: str, writable: Sequence[Path]) -> DiskFullError | None:
    """A file system of ours is full only if the program says so and it is: images inside can be full too."""
    if not _FULL_TEXT.search(text):
        return None
    for path in writable:
        usage = os.statvfs(path)
        if usage.f_bavail <= usage.f_blocks * _FULL_SHARE:
            return disk_full_error(path)
    return None
