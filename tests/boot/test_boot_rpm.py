# SPDX-License-Identifier: Apache-2.0
"""A host of RPM packages, booted under Secure Boot: it holds all that its Debian twin promises, line by line."""

from __future__ import annotations

import json

import pytest

from support.bills import faults
from support.lab import Lab
from support.rpm_lab import CHECK, HOST
from zaffre.definition import load_distribution

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]

PROMISES = {
    "system running",
    "Secure Boot",
    "root file system",
    "dm-verity",
    "a write to /usr",
    "a change in /etc, after a restart",
    "a change in /var, after a restart",
    "the machine's id, after a restart",
    "a container",
    "the container's network",
    "IPv4 address",
    "IPv6 address",
    "kernel settings",
    "log-in services",
    "SELinux",
}


@pytest.fixture(scope="module")
def report(rpm_lab: Lab) -> dict:
    done = rpm_lab.zaffre("check", HOST, "--with", CHECK, "--out", str(rpm_lab.out), "--json", check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_the_twin_differs_by_its_upstream_alone(rpm_lab: Lab) -> None:
    distribution = load_distribution(rpm_lab.distro)
    ours, debian = distribution.image(HOST), distribution.image("container-host")
    assert ours.upstream != debian.upstream
    same = {"packages", "provides", "kernel", "initrd", "files", "sysctl", "prune", "setuid", "etc", "disk"}
    assert ours.model_dump(include=same) == debian.model_dump(include=same)


@pytest.mark.long
def test_everything_that_is_promised_holds(report: dict) -> None:
    failed = {line["title"]: line["found"] for line in report["lines"] if line["verdict"] == "failed"}
    assert failed == {}
    passed = {line["title"] for line in report["lines"] if line["verdict"] == "passed"}
    assert passed >= PROMISES


def test_the_running_system_says_what_it_comes_from(rpm_lab: Lab) -> None:
    inventory = json.loads((rpm_lab.build(HOST) / "inventory.json").read_text())
    assert {"systemd", "containerd", "crun"} <= {one["name"] for one in inventory["packages"] if one["bytes"]}
    manifest = json.loads((rpm_lab.build(HOST) / "manifest.json").read_text())
    assert {one["architecture"] for one in manifest["packages"]} == {"amd64", "all"}


def test_its_papers_are_of_rpm_packages(rpm_lab: Lab) -> None:
    folder = rpm_lab.build(HOST)
    for form, name in (("cyclonedx", "sbom.cdx.json"), ("spdx", "sbom.spdx.json")):
        assert faults((folder / name).read_text(), form) == []
    components = json.loads((folder / "sbom.cdx.json").read_text())["components"]
    (system,) = [one for one in components if one["type"] == "operating-system"]
    purls = {one["name"]: one["purl"] for one in components if one["type"] == "library"}
    upstream = load_distribution(rpm_lab.distro).image(HOST).upstream
    assert (system["name"], system["version"]) == (upstream, "unknown"), "no package of it is called NAME-release"
    assert purls["systemd"].startswith(f"pkg:rpm/{upstream}/systemd@")
    assert f"distro={upstream}-unknown" in purls["systemd"]
    found = {one["name"]: one for one in rpm_lab.json("verify", str(folder))["checks"]}
    for name in ("provenance", "bill of materials", "files and packages"):
        assert found[name]["ok"], found[name]
