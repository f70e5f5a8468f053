# SPDX-License-Identifier: Apache-2.0
"""kubelet as the repository's own lock has it: built from nothing, into a host that boots with it. Takes long."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.own import edit
from zaffre.definition import reference_root

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot")]

IMAGE = "kubernetes-host"
PROBES = "kubernetes-check"
MORE = """\
first_boot() {
    kubelet --version >/dev/console 2>&1
    printf 'kubelet.service is %s and %s\\n' "$(systemctl is-enabled kubelet.service)" \\
        "$(systemctl is-active kubelet.service)" >/dev/console
"""


@dataclass(frozen=True)
class Clone:
    """The distribution of the repository with its lock, keys of its own, and a store in which nothing is."""

    root: Path

    @property
    def distro(self) -> Path:
        return self.root / "distro"

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        places = [f"--{name}={self.root / name}" for name in ("distro", "keys", "store")]
        return subprocess.run(
            [sys.executable, "-m", "zaffre", *places, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.root,
        )

    def zaffre(self, *words: str) -> str:
        done = self.run(*words)
        assert done.returncode == 0, f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def locked(self) -> dict[str, Any]:
        lock = json.loads((self.distro / "zaffre.lock").read_text("utf-8"))
        return next(one for one in lock["components"] if one["name"] == "kubelet")


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    root = tmp_path_factory.mktemp("kubernetes")
    shutil.copytree(reference_root(), root / "distro", symlinks=True)
    place = Clone(root)
    place.zaffre("keys", "init")
    return place


@pytest.fixture(scope="module")
def kubelet(clone: Clone) -> dict[str, Any]:
    """What `component build` says of it. When an archive has no longer what is locked, all is locked anew before."""
    done = clone.run("component", "build", "kubelet", "--json")
    if done.returncode == 3 and "zaffre lock --update" in done.stderr:
        clone.zaffre("lock", "--update", "--image", IMAGE)
        done = clone.run("component", "build", "kubelet", "--no-cache", "--json")
    assert done.returncode == 0, done.stderr
    (built,) = json.loads(done.stdout)
    assert built["cached"] is False
    sys.stdout.write(f"kubelet: {built['wall_seconds']:.0f} s, {built['cpu_seconds']:.0f} s of CPU\n")
    return built


def test_it_comes_out_as_it_is_locked(clone: Clone, kubelet: dict[str, Any]) -> None:
    locked = clone.locked()
    assert kubelet["source"] == locked["source"]["version"]
    found = {one["name"]: one["sha256"] for one in kubelet["packages"]}
    assert found == {one["package"]["name"]: one["package"]["sha256"] for one in locked["packages"]}


def test_a_host_boots_with_it(clone: Clone, kubelet: dict[str, Any]) -> None:
    """It answers, it is off; a pod that it is given runs; and all that a host promises holds with it."""
    folder = clone.distro / "files" / PROBES
    shutil.copytree(clone.distro / "files/check", folder, symlinks=True)
    edit(folder / "usr/lib/zaffre-check/check", "first_boot() {\n", MORE)
    probes = clone.distro / f"images/{PROBES}.toml"
    shutil.copyfile(clone.distro / "images/check-kubernetes-host.toml", probes)
    trees = f'[files]\ntrees = ["-files/check", "files/{PROBES}"]'
    edit(probes, f'base = "{IMAGE}"\n', f'base = "{IMAGE}"\n\n{trees}\n')
    clone.zaffre("lock", "--image", IMAGE, "--image", PROBES)

    done = clone.run("check", IMAGE, "--with", PROBES, "--console", "--timeout", "1800", "--json")
    console = done.stderr
    assert f"Kubernetes {kubelet['source']}" in console, console[-3000:]
    assert "kubelet.service is disabled and inactive" in console
    report = json.loads(done.stdout)
    assert [line for line in report["lines"] if line["verdict"] == "failed"] == []
    assert "the host's files are refused to it" in next(one["found"] for one in report["lines"] if one["name"] == "pod")
    assert done.returncode == 0
