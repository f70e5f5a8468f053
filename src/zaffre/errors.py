# SPDX-License-Identifier: Apache-2.0
"""The few ways in which Zaffre fails; each stands for a decision that a caller can take.

Every error answers three questions: what went wrong (`brief`, `details`), where (`where`: a file and
a key path, a package, a URL without credentials) and what to do next (`resolution`). Only the command
line turns an error into an exit code, by `exit_code`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum


class ExitCode(IntEnum):
    """The documented exit codes of every command."""

    DONE = 0
    FINDING = 1
    USAGE = 2
    WORLD = 3


class ZaffreError(Exception):
    """Base of all expected failures. `str(error)` is the brief with its place."""

    exit_code: ExitCode = ExitCode.WORLD

    def __init__(
        self,
        brief: str,
        *,
        where: str | None = None,
        details: str | None = None,
        resolution: str | None = None,
    ) -> None:
        super().__init__(brief)
        self.brief = brief
        self.where = where
        self.details = details
        self.resolution = resolution

    def __reduce__(self) -> tuple[object, ...]:
        # Errors cross processes (`zaffre reproduce`); by default they would be made again without what they must know.
        return _made_again, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        return f"{self.where}: {self.brief}" if self.where else self.brief


def _made_again(kind: type[ZaffreError], args: tuple[object, ...], state: Mapping[str, object]) -> ZaffreError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class DefinitionError(ZaffreError):
    """The definition, or what the user typed, is wrong: the user mends it."""

    exit_code = ExitCode.USAGE


class FindingError(ZaffreError):
    """The answer to the question asked is 'no': a stale lock, a failed check, a difference."""

    exit_code = ExitCode.FINDING


class WorldError(ZaffreError):
    """The outside world failed: network, disk, a missing tool. Trying again can help."""

    exit_code = ExitCode.WORLD


class IntegrityError(WorldError):
    """A signature, hash, size or date does not hold. Never retried with the same bytes, never ignored."""


class ToolError(WorldError):
    """An external program failed. `command` is a line that can be pasted to run it again."""

    def __init__(
        self,
        brief: str,
        *,
        command: str,
        returncode: int,
        where: str | None = None,
        details: str | None = None,
        resolution: str | None = None,
    ) -> None:
        super().__init__(brief, where=where, details=details, resolution=resolution)
        self.command = command
        self.returncode = returncode


class DiskFullError(WorldError):
    """A file system has no room left; what was half written has been removed."""
