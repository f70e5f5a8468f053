# SPDX-License-Identifier: Apache-2.0
"""The frame: exit codes, what goes to which stream, shared options anywhere, and what is said of failures."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zaffre.cli import main
from zaffre.cli.entry import globals_first
from zaffre.cli.failure import Failure, describe, render
from zaffre.errors import DefinitionError, ExitCode, FindingError, ToolError, WorldError


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
     ["keys", "show"], ["store"], ["store", "size"], ["store", "gc"], ["store", "verify"]],
)  # fmt: skip
def test_every_command_has_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("Usage: zaffre")
    if len(command) == 2 or (command and command[0] not in {"keys", "store"}):
        assert "Example" in shown


def test_help_and_version_are_quick_enough_for_a_shell_prompt() -> None:
    times = []
    for _ in range(3):
        begin = time.perf_counter()
        assert run("--help").returncode == 0
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.4
    assert run("--version").stdout.startswith("zaffre ")


def test_nothing_heavy_is_loaded_before_it_is_needed() -> None:
    code = "import sys, zaffre.cli; zaffre.cli.main(['--help']); print(sorted(sys.modules), file=sys.stderr)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr
    for module in ("httpx", "pydantic", "cryptography", "pysequoia", "zaffre.definition"):
        assert f"'{module}'" not in loaded


@pytest.mark.parametrize(
    "arguments",
    [["biuld"], ["show", "--josn"], ["keys", "show"], ["store", "gc", "--max-age", "-1"], ["keys"], ["verify"]],
)
def test_wrong_use_is_2_and_says_where_help_is(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--help" in captured.err


def test_an_error_as_json_is_all_there_is_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "list", "--json", "--keys", str(tmp_path / "none")]) == ExitCode.USAGE
    captured = capsys.readouterr()
    error = json.loads(captured.out)["error"]
    assert error["exit_code"] == 2
    assert error["where"] == str(tmp_path / "none")
    assert "zaffre keys init" in error["resolution"]
    assert "what next" in captured.err


def test_shared_options_may_stand_anywhere() -> None:
    given = ["build", "host", "--mirror", "m=http://mirror.example", "--out", "x", "-q", "--keys=/k", "--mirror", "b"]
    assert globals_first(given) == [
        "--mirror", "m=http://mirror.example", "-q", "--keys=/k", "--mirror", "b", "build", "host", "--out", "x",
    ]  # fmt: skip


def test_what_follows_two_dashes_is_left_alone() -> None:
    given = ["run", "host", "--", "--store", "x"]
    assert globals_first(given) == given


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DefinitionError("x"), 2),
        (FindingError("x"), 1),
        (WorldError("x"), 3),
        (KeyboardInterrupt(), 3),
        (OSError(errno.ENOSPC, "No space left on device", "/var/x"), 3),
        (PermissionError(errno.EACCES, "Permission denied", "/root/x"), 3),
        (RuntimeError("x"), 3),
    ],
)
def test_every_failure_has_its_exit_code(error: BaseException, code: int) -> None:
    assert describe(error).exit_code == code


def test_what_is_said_of_a_full_disk_names_the_file_and_how_to_make_room() -> None:
    failure = describe(OSError(errno.ENOSPC, "No space left on device", "/var/x"))
    assert failure.where == "/var/x"
    assert "zaffre store gc" in str(failure.resolution)


def test_a_bug_says_that_it_is_one_and_how_to_see_more() -> None:
    shown = render(describe(ValueError("odd")), colour=False)
    assert "bug in Zaffre" in shown
    assert "ValueError: odd" in shown
    assert "ZAFFRE_DEBUG=1" in shown


def test_a_failed_tool_shows_its_words_and_the_line_to_run_again() -> None:
    error = ToolError("mkfs failed (exit 1)", command="bwrap -- mkfs", returncode=1, details="one\ntwo", resolution="x")
    assert render(describe(error), colour=False).splitlines() == [
        "error: mkfs failed (exit 1)",
        "    one",
        "    two",
        "  to run it again by hand: bwrap -- mkfs",
        "  what next: x",
    ]


def test_colour_is_for_terminals() -> None:
    failure = Failure(brief="x", exit_code=ExitCode.WORLD)
    assert "\033" in render(failure, colour=True)
    assert "\033" not in run("show", "--distro", "/nonexistent").stderr


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    shell = f"{sys.executable} -m zaffre schema | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0
    assert done.stderr == ""


_SLEEPER = """\
import sys, time
import zaffre.cli.doctor as command
import zaffre.sandbox
def examine(**_):
    print("ready", flush=True)
    time.sleep(60)
zaffre.sandbox.doctor = examine
import zaffre.cli
sys.exit(zaffre.cli.main(["doctor"]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt_is_3_and_says_that_nothing_is_lost(number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", _SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == ExitCode.WORLD
    assert "finished steps are kept" in errors
    assert "Traceback" not in errors


def test_the_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    arguments = ("keys", "list", "--keys", str(tmp_path / "none"))
    assert "Traceback" not in run(*arguments).stderr
    assert "Traceback" in run(*arguments, ZAFFRE_DEBUG="1").stderr
