# SPDX-License-Identifier: Apache-2.0
"""Templates that run one command by themselves: a systemd timer, and jobs of GitHub's and GitLab's CI. Pure.

Forms: systemd.service(5), systemd.timer(5), systemd.syntax(7); the workflow syntax of GitHub Actions; GitLab's CI/CD
YAML. Words from outside are quoted as each form wants it: JSON's strings are YAML's, too.

A patch may write the lock and fail: some fixes can't be had yet, or the place of publication does not answer. So the
CI's jobs keep the lock however it ended, and then end as it did.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath

from zaffre.errors import DefinitionError


class Scheduler(StrEnum):
    """Who runs it."""

    SYSTEMD = "systemd"
    GITHUB = "github"
    GITLAB = "gitlab"


@dataclass(frozen=True)
class Job:
    """What is run: `words` after `zaffre`, by `program` in `folder` where a machine's own timer runs it; each day at
    `hour` (UTC).
    """

    words: tuple[str, ...]
    program: PurePosixPath
    folder: PurePosixPath
    hour: int


def templates(scheduler: Scheduler, job: Job) -> Mapping[str, str]:
    """Files by their names, relative to the folder that the scheduler reads.

    Raises DefinitionError for words that no unit file can have.
    """
    makers: Mapping[Scheduler, Callable[[Job], Mapping[str, str]]] = {
        Scheduler.SYSTEMD: _systemd,
        Scheduler.GITHUB: _github,
        Scheduler.GITLAB: _gitlab,
    }
    return makers[scheduler](job)


def _systemd(job: Job) -> Mapping[str, str]:
    command = " ".join(map(_unit_word, (str(job.program), *job.words)))
    service = f"""\
# Run `systemctl enable --now zaffre-patch.timer` once; `journalctl -u zaffre-patch` has the reports.
[Unit]
Description=Mend known vulnerabilities of the distribution's images
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={_unit_path(str(job.folder))}
ExecStart={command}
TimeoutStartSec=2h
Nice=10
"""
    timer = f"""\
[Unit]
Description=Look each day for vulnerabilities that can be mended

[Timer]
OnCalendar=*-*-* {job.hour:02}:00:00 UTC
RandomizedDelaySec=30min
Persistent=true

[Install]
WantedBy=timers.target
"""
    return {"zaffre-patch.service": service, "zaffre-patch.timer": timer}


def _github(job: Job) -> Mapping[str, str]:
    command = json.dumps(shlex.join(("zaffre", *job.words)))
    text = f"""\
# .github/workflows/zaffre-patch.yml: the runner is one of yours, as it has the signing keys and the store.
name: zaffre patch
on:
  schedule:
    - cron: "0 {job.hour} * * *"
  workflow_dispatch: {{}}
permissions:
  contents: write
concurrency: zaffre-patch
jobs:
  patch:
    runs-on: [self-hosted, zaffre]
    timeout-minutes: 120
    steps:
      - uses: actions/checkout@v4
      - name: Mend, build, check, release
        run: {command}
      - name: Keep the new lock, which a patch that fails may have written
        if: always()
        run: |
          git diff --quiet -- '*zaffre.lock' && exit 0
          git config user.name zaffre-patch
          git config user.email zaffre-patch@localhost
          git commit -m "Known vulnerabilities mended" -- '*zaffre.lock'
          git push
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: patch
          path: |
            out/advisories
            out/patch
            out/*.check.json
          if-no-files-found: ignore
"""
    return {"zaffre-patch.yml": text}


def _gitlab(job: Job) -> Mapping[str, str]:
    command = json.dumps(f"status=0; {shlex.join(('zaffre', *job.words))} || status=$?")
    text = f"""\
# Include it from .gitlab-ci.yml; make a pipeline schedule for hour {job.hour} (UTC) of each day. The runner with the
# tag "zaffre" is one of yours, as it has the signing keys and the store; PUSH_TOKEN may write the repository.
zaffre-patch:
  rules:
    - if: $CI_PIPELINE_SOURCE == "schedule"
  tags: [zaffre]
  timeout: 2h
  resource_group: zaffre-patch
  script:
    - {command}
    - |
      # A patch that fails may have written the new lock: keep it, and end as the patch did.
      git diff --quiet -- '*zaffre.lock' && exit "$status"
      git config user.name zaffre-patch
      git config user.email zaffre-patch@localhost
      git commit -m "Known vulnerabilities mended" -- '*zaffre.lock'
      git push "https://patch:${{PUSH_TOKEN}}@${{CI_SERVER_HOST}}/${{CI_PROJECT_PATH}}.git" "HEAD:${{CI_COMMIT_BRANCH}}"
      exit "$status"
  artifacts:
    when: always
    paths: [out/advisories, out/patch, out/*.check.json]
"""
    return {"zaffre-patch.gitlab-ci.yml": text}


def _unit_word(text: str) -> str:
    """A word of ExecStart=, quoted: a backslash escapes, '%' begins a specifier and '$' a variable."""
    _require_plain(text)
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if _needs_quotes(escaped) else escaped


def _unit_path(text: str) -> str:
    """A path as the whole of a setting, where quotes mean themselves."""
    _require_plain(text)
    return text.replace("%", "%%")


def _needs_quotes(text: str) -> bool:
    return not text or any(one in text for one in " \t'\";\\")


def _require_plain(text: str) -> None:
    if any(ord(one) < 32 for one in text):
        raise DefinitionError("a unit file can't have such a word", where=repr(text))
