# SPDX-License-Identifier: Apache-2.0
"""How long work tells that it goes on, without knowing who listens.

Libraries take a `Progress`; the command line passes one that draws, tests and scripts pass `SILENT`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol


class Progress(Protocol):
    """A listener. All methods may be called from any thread."""

    def step(self, title: str) -> AbstractContextManager[Callable[[str], None]]:
        """A piece of work with a beginning and an end; the yielded function sets its remark ("cached", "12 MB")."""
        ...

    def transfer(self, title: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        """A measured piece of work of `total` units (bytes); the yielded function advances it."""
        ...

    def note(self, message: str) -> None:
        """A line worth reading after the work is done."""
        ...


def _ignore(_: object) -> None:
    """Take a remark or an amount that nobody is told."""


class _Silent:
    @contextmanager
    def step(self, title: str) -> Iterator[Callable[[str], None]]:  # noqa: ARG002 - a listener's signature
        yield _ignore

    @contextmanager
    def transfer(self, title: str, total: int) -> Iterator[Callable[[int], None]]:  # noqa: ARG002 - likewise
        yield _ignore

    def note(self, message: str) -> None:
        """Nobody listens."""


SILENT: Progress = _Silent()
