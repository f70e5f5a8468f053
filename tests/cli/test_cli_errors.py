# SPDX-License-Identifier: Apache-2.0
"""Errors as values: what a process that did the work tells the one that asked for it."""

from __future__ import annotations

import pickle

import pytest

from zaffre.cli.failure import describe
from zaffre.errors import DefinitionError, ToolError, ZaffreError
from zaffre.upstream.fetch import DroppedError

ERRORS = [
    DefinitionError("there is no such key", where="images/a.toml", resolution="mend it"),
    ToolError("mkfs.erofs failed (exit 1)", command="bwrap mkfs.erofs", returncode=1, details="no space"),
    DroppedError("a package is gone", packages=(), where="apt 3", details="mirror: 404", resolution="zaffre lock"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_of_another_process_says_the_same(error: ZaffreError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert describe(again) == describe(error)
    assert str(again) == str(error)
