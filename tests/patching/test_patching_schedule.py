# SPDX-License-Identifier: Apache-2.0
"""Schedules, read by those who will: systemd itself, and a reader of YAML."""

from __future__ import annotations

import shlex
from pathlib import Path, PurePosixPath

import pytest
import yaml

from support.shell import Shell
from zaffre.definition import reference_root
from zaffre.errors import DefinitionError
from zaffre.patching.schedule import Job, Scheduler, templates
from zaffre.sandbox import Mount, Sandbox

WORDS = ("--distro", "/srv/own linux/100%", "patch", "node", "--to", "s3://bucket/$releases")


def job(*words: str) -> Job:
    return Job(words or WORDS, PurePosixPath("/usr/bin/true"), PurePosixPath("/"), 4)


@pytest.mark.tools
def test_systemd_takes_its_units_without_a_remark(tmp_path: Path, tools_sandbox: Sandbox) -> None:
    for name, text in templates(Scheduler.SYSTEMD, job()).items():
        (tmp_path / name).write_text(text)
    done = tools_sandbox.run(
        ["systemd-analyze", "verify", "--man=no", "/run/units/zaffre-patch.service", "/run/units/zaffre-patch.timer"],
        mounts=(Mount(tmp_path, "/run/units"),),
        timeout=60,
    )
    assert "zaffre-patch" not in done.stderr_tail, "it tells of what it ignores, and succeeds all the same"


def test_a_unit_s_command_has_the_words_that_were_given() -> None:
    text = templates(Scheduler.SYSTEMD, job())["zaffre-patch.service"]
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    told = shlex.split(line.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$"))
    assert tuple(told) == ("/usr/bin/true", *WORDS)
    with pytest.raises(DefinitionError):
        templates(Scheduler.SYSTEMD, job("patch", "a\nExecStart=/bin/evil"))


def test_github_s_job_runs_the_command_each_day() -> None:
    told = yaml.safe_load(templates(Scheduler.GITHUB, job())["zaffre-patch.yml"])
    assert told[True]["schedule"] == [{"cron": "0 4 * * *"}], "YAML 1.1 reads the key `on` as true"
    steps = told["jobs"]["patch"]["steps"]
    commands = [one["run"] for one in steps if "run" in one]
    assert shlex.split(commands[0]) == ["zaffre", *WORDS]


def test_gitlab_s_job_runs_the_command_on_a_schedule() -> None:
    told = yaml.safe_load(templates(Scheduler.GITLAB, job())["zaffre-patch.gitlab-ci.yml"])["zaffre-patch"]
    assert told["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]
    assert shlex.split(told["script"][0]) == ["zaffre", *WORDS]


def test_the_command_prints_them_or_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shell = Shell(capsys)
    base = ["--distro", reference_root(), "patch", "schedule"]
    assert shell(*base, "systemd", "container-host", "--into", tmp_path) == 0
    text = (tmp_path / "zaffre-patch.service").read_text()
    assert f"--distro {reference_root()} --quiet patch container-host\n" in text
    assert (tmp_path / "zaffre-patch.timer").is_file()
    assert shell(*base, "github") == 0
    assert "zaffre --quiet patch" in shell.out
    assert shell(*base, "cron") == 2
    assert shell(*base, "systemd", "nowhere") == 2
