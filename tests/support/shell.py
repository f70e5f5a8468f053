# SPDX-License-Identifier: Apache-2.0
"""The program, run within the test's own process."""

from __future__ import annotations

import json
from typing import Any

import pytest

from zaffre.cli import main


class Shell:
    """Runs commands; `json` gives what `--json` printed, and sees that it was nothing else."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *arguments: object) -> int:
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *arguments: object, code: int = 0) -> Any:
        assert self(*arguments, "--json") == code, self.err
        return json.loads(self.out)
