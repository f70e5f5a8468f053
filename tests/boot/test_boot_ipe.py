# SPDX-License-Identifier: Apache-2.0
"""The container host with IPE, booted: its own programs run, and what nobody has signed does not."""

from __future__ import annotations

import json

import pytest

from support.lab import Lab

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot")]


def test_an_enforcing_host_executes_what_is_signed_and_nothing_else(lab: Lab) -> None:
    lab.build("ipe-host")
    done = lab.zaffre("check", "ipe-host", "--out", str(lab.out), "--json", check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert "lines" in report, done.stdout
    lines = {line["name"]: line for line in report["lines"]}
    assert {name: line["found"] for name, line in lines.items() if line["verdict"] == "failed"} == {}
    assert lines["ipe"]["found"] == "enforcing, nothing of its own refused"
    assert lines["ipe-refused"]["found"] == "refused in /var, /tmp and /run, and to a container in /var"
    assert lines["ipe-locked"]["found"] == "neither switched off nor given another policy"
    assert lines["selinux"]["found"] == "enforcing, no denials"
    assert lines["container-confined"]["found"].startswith("refused, as container_t:")
    assert {"health", "container", "var-grows", "secure-boot"} <= lines.keys()
