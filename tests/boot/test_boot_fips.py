# SPDX-License-Identifier: Apache-2.0
"""A container host in FIPS mode, booted: dm-verity, its disk and its services do with approved algorithms."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.lab import Lab

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot")]

HOST = 'extends = ["container-host"]\nprofiles = ["fips"]\narchitectures = ["-arm64"]\n'
PROBES = 'extends = ["check"]\nbase = "fips-host"\n\n[[extract]]\npackage = "openssl"\npaths = ["/usr/bin/openssl"]\n'


def test_a_host_in_fips_mode_does_all_its_work_and_refuses_md5(lab: Lab, tmp_path: Path) -> None:
    distro = shutil.copytree(lab.distro, tmp_path / "distro", symlinks=True)
    (distro / "images/fips-host.toml").write_text(HOST)
    (distro / "images/check-fips-host.toml").write_text(PROBES)
    lab.zaffre("--distro", str(distro), "lock", "--image", "fips-host", "--image", "check-fips-host")
    words = ("--distro", str(distro), "check", "fips-host", "--out", str(tmp_path / "out"), "--json")
    done = lab.zaffre(*words, check=False)
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    assert "lines" in report, done.stdout
    lines = {line["name"]: line for line in report["lines"]}
    assert {name: line["found"] for name, line in lines.items() if line["verdict"] == "failed"} == {}
    assert lines["fips"]["found"] == "in the kernel and in OpenSSL, which refuses MD5"
    assert {"verity", "container", "var-grows", "secure-boot"} <= lines.keys()
