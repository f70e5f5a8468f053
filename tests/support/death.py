# SPDX-License-Identifier: Apache-2.0
"""The end of a process at one of its changes of files, without another process: from then on it changes nothing more,
not even while it cleans up. (audit events: Python's Library, "Audit events table")

death = Death(folder)
with death.at(7):
    ...  # ends with KilledError before the seventh change
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.nodes import KilledError

_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
_CHANGES = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.link", "os.symlink"}


@dataclass
class Death:
    """Counts changes below `folder`: files that are opened to be written, renamed, removed, made."""

    folder: Path
    number: int = 0
    seen: int = 0
    listens: bool = False

    def __post_init__(self) -> None:
        sys.addaudithook(self._heard)

    @contextmanager
    def at(self, number: int) -> Iterator[None]:
        """Changes are counted from 1."""
        self.number, self.seen, self.listens = number, 0, True
        try:
            yield
        finally:
            self.listens = False

    def _heard(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.listens or not self._is_change(event, arguments):
            return
        self.seen += 1
        if self.seen >= self.number:
            raise KilledError

    def _is_change(self, event: str, arguments: tuple[object, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments
            if not isinstance(flags, int) or not flags & _WRITES:
                return False
        elif event in _CHANGES:
            path = arguments[0]
        else:
            return False
        return isinstance(path, str | os.PathLike) and Path(path).is_relative_to(self.folder)
