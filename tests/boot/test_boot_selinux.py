# SPDX-License-Identifier: Apache-2.0
"""The container host with SELinux, booted: nothing of its own is refused anything, and a container is."""

from __future__ import annotations

import json

import pytest

from support.lab import Lab

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot")]


def test_an_enforcing_host_does_all_its_work_and_holds_a_container(lab: Lab) -> None:
    lab.build("selinux-host")
    done = lab.zaffre("check", "selinux-host", "--out", str(lab.out), "--json", check=False)
    assert done.stdout, done.stderr
    lines = {line["name"]: line for line in json.loads(done.stdout)["lines"]}
    assert {name: line["found"] for name, line in lines.items() if line["verdict"] == "failed"} == {}
    assert lines["selinux"]["found"] == "enforcing, no denials"
    assert lines["container-confined"]["found"] == "refused, as container_t:s0:c11,c12"
    assert {"health", "container", "var-grows", "secure-boot"} <= lines.keys()
