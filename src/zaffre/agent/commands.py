# SPDX-License-Identifier: Apache-2.0
"""The agent's door to the host's programs: arguments as a list, a time limit, and what they said."""

from __future__ import annotations

import shlex
import subprocess
from dataclasses import dataclass

from zaffre.errors import ToolError

_TAIL = 2000
"""Characters of what a program said that go into a message."""
_ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin", "LC_ALL": "C.UTF-8", "SYSTEMD_PAGER": "cat", "SYSTEMD_COLORS": "0"}


@dataclass(frozen=True)
class Done:
    """`out` and `err` are what the program wrote."""

    command: str
    code: int
    out: str
    err: str

    def require(self, brief: str) -> Done:
        """Raises ToolError unless it ended with 0."""
        if self.code:
            raise ToolError(
                brief,
                command=self.command,
                returncode=self.code,
                where=self.command,
                details=self.err.strip()[-_TAIL:] or None,
                resolution="run the command by hand; the next run of the agent tries again",
            )
        return self


def run(*words: str, seconds: float) -> Done:
    """A program that is not there, or takes longer than `seconds`, is told like one that failed."""
    command = shlex.join(words)
    try:
        done = subprocess.run(
            words, capture_output=True, check=False, timeout=seconds, env=_ENVIRONMENT, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return Done(command, 124, "", f"it did not end within {seconds:.0f} seconds")
    except OSError as error:
        return Done(command, 127, "", str(error))
    return Done(command, done.returncode, _text(done.stdout), _text(done.stderr))


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")
