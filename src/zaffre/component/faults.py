# SPDX-License-Identifier: Apache-2.0
"""Why an operation of an overlay can not be done: raised by those who edit, placed in a file by those who apply."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class OperationError(Exception):
    """`key` is the key of the operation whose value is at fault, or "" for all of it."""

    def __init__(self, key: str, brief: str, *, details: str | None = None) -> None:
        super().__init__(brief)
        self.key = key
        self.brief = brief
        self.details = details


class NoMatchError(OperationError):
    """What is to be changed is not there. `near` are things that look like it."""

    def __init__(self, key: str, brief: str, *, near: Iterable[str] = (), details: str | None = None) -> None:
        super().__init__(key, brief, details=details)
        self.near = tuple(near)


class AlreadyError(OperationError):
    """The source is already as the operation wants it: the upstream did the same."""


def near_matches(word: str, choices: Iterable[str]) -> tuple[str, ...]:
    """Up to three choices that look like the word."""
    return tuple(get_close_matches(word, list(dict.fromkeys(choices)), n=3, cutoff=0.5))
