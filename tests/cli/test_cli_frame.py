# SPDX-License-Identifier: Apache-2.0
"""The frame: exit codes, what goes to which stream, shared options anywhere, and what is said of failures."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from zaffre.cli import main


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "zaffre", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_first_screen_says_what_to_try(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "zaffre doctor" in shown
    assert "zaffre --help" in shown


@pytest.mark.parametrize(
    "command",
    [[], ["init"], ["show"], ["schema"], ["lock"], ["build"], ["run"], ["check"],
     ["reproduce"], ["inventory"], ["verify"], ["doctor"], ["keys"], ["keys", "init"], ["keys", "list"],
     ["keys", "add"], ["keys", "show"], ["repo"], ["repo", "build"], ["repo", "list"], ["repo", "verify"],
     ["repo", "promote"], ["repo", "refresh"], ["repo", "gc"],
     ["store"], ["store", "size"], ["store", "gc"], ["store", "verify"],
     ["diff"], ["release"], ["release", "simulate"], ["upgrade"], ["upgrade", "plan"]],
)  # fmt: skip
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: zaffre")
    if len(command) == 2 or (command and command[0] not in {"keys", "release", "repo", "store", "upgrade"}):
        assert "Example" in shown


def test_help_and_version_are_answered() -> None:
    assert run("--help").returncode == 0
    assert run("--version").stdout.startswith("zaffre ")
