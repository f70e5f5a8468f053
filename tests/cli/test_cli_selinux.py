# SPDX-License-Identifier: Apache-2.0
"""`zaffre selinux suggest`, from a log, from standard input, and from what a check has left."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from support.shell import Shell
from zaffre.errors import ExitCode

DENIED = (
    'avc:  denied  { read } for  pid=411 comm="my-agent" name="settings" dev="dm-0" ino=7 '
    "scontext=system_u:system_r:my_agent_t:s0 tcontext=system_u:object_r:etc_t:s0 tclass=file permissive=0"
)
RULE = "(allow my_agent_t etc_t (file (read)))"


@pytest.fixture
def zaffre(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_a_log_becomes_a_file_for_the_definition(zaffre: Shell, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(f"systemd[1]: started\n{DENIED}\n{DENIED}\n")
    assert zaffre("selinux", "suggest", tmp_path / "log") == ExitCode.DONE
    assert f"; my-agent: read of settings (etc_t), file (2 times)\n{RULE}\n" in zaffre.out
    assert "1 rule" in zaffre.err


def test_standard_input_is_read_too(zaffre: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(DENIED.encode())))
    assert zaffre.json("selinux", "suggest")["rules"][0]["rule"] == RULE


def test_what_a_check_has_left_is_read(zaffre: Shell, tmp_path: Path) -> None:
    (tmp_path / "check.json").write_text(json.dumps({"report": {"denials": [DENIED]}}))
    assert zaffre.json("selinux", "suggest", tmp_path / "check.json")["rules"][0]["rule"] == RULE


def test_the_journal_as_json_is_read_by_its_messages(zaffre: Shell, tmp_path: Path) -> None:
    forged = " ".join(("a", *DENIED.split(" ")[-4:])).replace("my_agent_t", "sshd_t")
    entries = [
        {"MESSAGE": DENIED, "_CMDLINE": forged},
        {"MESSAGE": list(DENIED.encode()), "_CMDLINE": forged},
        {"MESSAGE": "logged in", "_CMDLINE": DENIED.replace("my_agent_t", "sshd_t")},
        {"MESSAGE": None},
    ]
    (tmp_path / "log").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    told = zaffre.json("selinux", "suggest", tmp_path / "log")
    assert [(rule["rule"], rule["denials"][0]["times"]) for rule in told["rules"]] == [(RULE, 2)]
    assert told["unread"] == []


def test_what_else_counts_as_the_end_of_a_line_is_none(zaffre: Shell, tmp_path: Path) -> None:
    forged = DENIED.replace("my_agent_t", "sshd_t")
    (tmp_path / "log").write_text(f"someone: \u2028{forged}\x0b{DENIED}\n")
    assert [rule["rule"] for rule in zaffre.json("selinux", "suggest", tmp_path / "log")["rules"]] == [RULE]


def test_a_rule_that_would_undo_the_policy_is_a_finding(zaffre: Shell, tmp_path: Path) -> None:
    (tmp_path / "log").write_text(DENIED.replace("etc_t", "shadow_t"))
    assert zaffre("selinux", "suggest", tmp_path / "log") == ExitCode.FINDING
    assert f"\n;   {RULE.replace('etc_t', 'shadow_t')}\n" in zaffre.out


def test_no_log_and_one_that_is_too_large(zaffre: Shell, tmp_path: Path) -> None:
    assert zaffre("selinux", "suggest", tmp_path / "nothing") == ExitCode.USAGE
    with (tmp_path / "large").open("wb") as file:
        file.truncate((64 << 20) + 1)
    assert zaffre("selinux", "suggest", tmp_path / "large") == ExitCode.USAGE
    assert "larger than 64 MiB" in zaffre.err
