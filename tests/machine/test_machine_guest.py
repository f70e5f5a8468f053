# SPDX-License-Identifier: Apache-2.0
"""What looks into a guest's log, run by a real shell with a journal that is made here."""

from __future__ import annotations

import os
import re
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from zaffre.definition.starter import reference_root

CHECK = reference_root() / "files/check/usr/lib/zaffre-check/check"
IPE = 'audit: type=1420 audit(1.2:1): ipe_op=EXECUTE path="/tmp/x" rule="DEFAULT action=DENY"'
SELINUX = (
    "audit: type=1403 audit(1.2:2): lsm=selinux res=1",
    "audit: type=1400 audit(1.2:3): avc:  denied  { read } for  pid=1",
    "audit: type=1401 audit(1.2:4): op=security_compute_sid invalid_context=system_u:system_r:own_t:s0",
    "SELINUX_ERR op=security_bounded_transition seresult=denied oldcontext=a newcontext=b",
)
OTHERS = "audit: type=1130 audit(1.2:5): pid=1 msg='unit=a'"


def run(name: str, tmp_path: Path, *, status: int = 0) -> tuple[int, list[str]]:
    """The function of that name, where journalctl has told all and then ended so."""
    report = resources.files("zaffre.machine").joinpath("guest", "report.sh").read_text()
    function = re.search(rf"^{name}\(\) \{{.*?^\}}$", report + CHECK.read_text(), re.MULTILINE | re.DOTALL)
    assert function is not None
    told = "\n".join((OTHERS, IPE, *SELINUX, OTHERS))
    (tmp_path / "told").write_text(f"{told}\n")
    (tmp_path / "journalctl").write_text(f"#!/bin/sh\ncat {tmp_path}/told\nexit {status}\n")
    (tmp_path / "journalctl").chmod(0o755)
    script = f"work={tmp_path}\n{function[0]}\n{name} 0\n"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-s"], input=script, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.parametrize(("name", "told"), [("not_executed", [IPE]), ("denials", list(SELINUX))])
def test_what_was_refused_is_told_or_that_nobody_could(name: str, told: list[str], tmp_path: Path) -> None:
    assert run(name, tmp_path) == (0, told)
    assert run(name, tmp_path, status=1) == (1, [])
