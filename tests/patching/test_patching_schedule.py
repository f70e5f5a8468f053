# SPDX-License-Identifier: Apache-2.0
"""Schedules, read by those who will: systemd itself, a reader of YAML, and a shell with git."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from pathlib import Path, PurePosixPath
from typing import Any

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
    assert shlex.split(github()[0]["run"]) == ["zaffre", *WORDS]


def test_gitlab_s_job_runs_the_command_on_a_schedule() -> None:
    told = gitlab()
    assert told["rules"] == [{"if": '$CI_PIPELINE_SOURCE == "schedule"'}]
    assert shlex.split(told["script"][0]) == ["status=0;", "zaffre", *WORDS, "||", "status=$?"]


def github() -> list[dict[str, str]]:
    """Steps that run something."""
    told = yaml.safe_load(templates(Scheduler.GITHUB, job())["zaffre-patch.yml"])
    return [one for one in told["jobs"]["patch"]["steps"] if "run" in one]


def gitlab() -> dict[str, Any]:
    job_of: dict[str, Any] = yaml.safe_load(templates(Scheduler.GITLAB, job())["zaffre-patch.gitlab-ci.yml"])
    return job_of["zaffre-patch"]


class Runner:
    """A CI's runner with a checkout. `zaffre` is a program that does what `patches` was told last."""

    def __init__(self, root: Path) -> None:
        self.root, self.checkout, self.origin = root, root / "checkout", root / "origin.git"
        self.env = {
            "PATH": f"{root / 'bin'}:{os.environ['PATH']}",
            "HOME": str(root),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"url.{self.origin.as_uri()}.insteadOf",
            "GIT_CONFIG_VALUE_0": "https://patch:secret@ci.example/own/linux.git",
            "GIT_AUTHOR_DATE": "2026-11-26T04:00:00Z",
            "PUSH_TOKEN": "secret",
            "CI_SERVER_HOST": "ci.example",
            "CI_PROJECT_PATH": "own/linux",
            "CI_COMMIT_BRANCH": "main",
        }

    def found(self) -> None:
        """A repository with a lock, and its checkout beside it, wherever both are moved to."""
        root = self.root
        (root / "bin").mkdir()
        self.git("init", "--quiet", "--bare", "--initial-branch=main", str(self.origin), cwd=root)
        self.git("clone", "--quiet", str(self.origin), str(self.checkout), cwd=root)
        self.git("checkout", "--quiet", "-B", "main")
        (self.checkout / "zaffre.lock").write_text("old\n")
        self.git("add", ".")
        self.git("-c", "user.name=a", "-c", "user.email=a@b.example", "commit", "--quiet", "-m", "first")
        self.git("remote", "set-url", "origin", "../origin.git")
        self.git("push", "--quiet", "-u", "origin", "main")

    def git(self, *words: str, cwd: Path | None = None) -> str:
        argv = ["git", *words]
        place = cwd or self.checkout
        return subprocess.run(argv, cwd=place, env=self.env, check=True, capture_output=True, text=True).stdout

    def patches(self, code: int, lock: str | None) -> None:
        """It writes that lock, if there is one, and ends with `code`."""
        program = self.root / "bin/zaffre"
        text = f"echo {lock} > zaffre.lock\n" if lock is not None else ""
        program.write_text(f"#!/bin/sh\n{text}exit {code}\n")
        program.chmod(0o755)

    def bash(self, script: str) -> int:
        argv = ["bash", "-eo", "pipefail", "-c", script]
        return subprocess.run(argv, cwd=self.checkout, env=self.env, check=False, capture_output=True).returncode

    def github(self) -> int:
        """Every step in a shell of its own. After one that failed, only those that run always."""
        failed = 0
        for step in github():
            if not failed or step.get("if") == "always()":
                failed = self.bash(step["run"]) or failed
        return failed

    def gitlab(self) -> int:
        """All lines in one shell."""
        return self.bash("\n".join(gitlab()["script"]))

    @property
    def kept(self) -> str:
        """The lock that the repository has."""
        return self.git("show", "main:zaffre.lock", cwd=self.origin).strip()


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("schedule") / "runner"
    root.mkdir()
    Runner(root).found()
    return root


@pytest.fixture
def runner(founded: Path, tmp_path: Path) -> Runner:
    return Runner(shutil.copytree(founded, tmp_path / "runner"))


@pytest.mark.tools
@pytest.mark.parametrize("scheduler", ["github", "gitlab"])
@pytest.mark.parametrize(
    ("code", "lock"),
    [(0, "new"), (1, "new"), (3, "new"), (0, None), (1, None)],
    ids=["all-mended", "some-fix-is-left", "publishing-failed", "nothing-to-mend", "the-check-failed"],
)
def test_a_ci_s_job_keeps_the_lock_that_was_written_and_ends_as_the_patch_did(
    runner: Runner, scheduler: str, code: int, lock: str | None
) -> None:
    runner.patches(code, lock)
    assert getattr(runner, scheduler)() == code
    assert runner.kept == (lock or "old")
    assert runner.git("rev-list", "--count", "main", cwd=runner.origin).strip() == ("2" if lock else "1")


@pytest.mark.tools
@pytest.mark.parametrize("scheduler", ["github", "gitlab"])
def test_a_lock_that_can_not_be_kept_is_an_error(runner: Runner, scheduler: str) -> None:
    runner.patches(0, "new")
    shutil.rmtree(runner.origin)
    assert getattr(runner, scheduler)() != 0


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
