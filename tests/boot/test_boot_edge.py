# SPDX-License-Identifier: Apache-2.0
"""The edge image for arm64: made on this machine, booted in 256 MB, with its network from a signed medium.

The long tests are about arm64 too: the other images' checks, and a build that is the same again.
"""

from __future__ import annotations

import json

import pytest

from support.lab import Lab

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-edge")]

CHECK = ("check", "edge", "--arch", "arm64", "--memory", "256", "--timeout", "900")


@pytest.fixture(scope="module")
def report(lab: Lab) -> dict:
    done = lab.zaffre(*CHECK, "--out", str(lab.out), "--json", check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_everything_that_is_promised_holds(report: dict) -> None:
    lines = {line["name"]: line for line in report["lines"]}
    assert {name: line["found"] for name, line in lines.items() if line["verdict"] == "failed"} == {}
    passed = {name for name, line in lines.items() if line["verdict"] == "passed"}
    assert {"system", "secure-boot", "root", "verity", "usr", "etc", "var", "configuration", "watchdog"} <= passed
    assert lines["ipv4"]["found"] == "10.0.2.77/24"
    assert "-arm64" in lines["release"]["found"]


def test_it_lives_in_little_memory(report: dict) -> None:
    assert report["memory_total_bytes"] < 256 << 20
    assert report["memory_used_bytes"] < 128 << 20


def test_the_build_says_what_it_is_for(lab: Lab, report: dict) -> None:
    assert report["image"] == "edge"
    built = lab.build("edge", "--arch", "arm64")
    assert built.name.endswith("-arm64")
    assert lab.zaffre("verify", str(built)).returncode == 0


@pytest.mark.long
@pytest.mark.parametrize("image", ["container-host", "server"])
def test_the_others_for_arm64(lab: Lab, image: str) -> None:
    done = lab.zaffre(
        "check", image, "--arch", "arm64", "--timeout", "900", "--out", str(lab.out), "--json", check=False
    )
    assert done.stdout, done.stderr
    failed = {line["title"]: line["found"] for line in json.loads(done.stdout)["lines"] if line["verdict"] == "failed"}
    assert failed == {}


@pytest.mark.long
def test_an_emulated_build_is_the_same_again(lab: Lab) -> None:
    """Another clock, folder, host name and language: the scripts that an emulator runs see none of it."""
    found = lab.json("reproduce", "edge", "--arch", "arm64", check=False)
    assert found["differences"] == []
