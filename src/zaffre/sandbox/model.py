# SPDX-License-Identifier: Apache-2.0
"""The values that go into the sandbox and come out of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ToolsTree:
    """A root tree whose programs are run. `key` identifies its content; it belongs in the key of every action.

    `emulates` is an architecture other than the machine's, whose programs the tree's emulator runs: what is run with a
    root of its own is of that.
    """

    root: Path
    key: str
    emulates: str | None = None


@dataclass(frozen=True)
class Mount:
    """A host path made visible inside. Its target exists in the tree, or is below `/tmp`, `/run` or a new top name."""

    source: Path
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Completed:
    """A program that has ended, and with it every process it started.

    `stdout` is empty when it went to a file. `stderr_tail` is the last 64 kB at most. `cpu_seconds` is
    that of the program and all of its children that were waited for.
    """

    returncode: int
    stdout: bytes
    stderr_tail: str
    wall_seconds: float
    cpu_seconds: float
