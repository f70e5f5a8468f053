# SPDX-License-Identifier: Apache-2.0
"""The image for WSL: its file, and the system in it, started as WSL starts one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.container import Container, started
from support.lab import Lab
from zaffre.image.wsl.units import HARMFUL
from zaffre.upstream import load_lock

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("boot-server")]


@pytest.fixture(scope="module")
def built(lab: Lab) -> Path:
    return lab.build("wsl")


def test_a_build_holds_and_keeps_every_rule(lab: Lab, built: Path) -> None:
    assert lab.json("verify", str(built))["ok"]
    report = lab.json("check", str(built / "image.wsl"))
    assert [finding for rule in report["rules"] for finding in rule["findings"]] == []
    assert report["architecture"] == "amd64"
    assert "every recommendation is kept" in lab.zaffre("check", "wsl", "--out", str(lab.out)).stdout


def test_what_it_shares_with_the_server_is_the_same(lab: Lab, built: Path) -> None:
    """What works here works there: no version differs, and only what opens a shell is more."""
    lock = load_lock(lab.distro / "zaffre.lock")
    assert lock is not None
    sets = {
        name: {one.name: (one.version, one.sha256) for one in lock.set(name, "amd64").packages}
        for name in ("wsl", "server")
    }
    both = sets["wsl"].keys() & sets["server"].keys()
    assert len(both) > 80
    assert [name for name in both if sets["wsl"][name] != sets["server"][name]] == []
    assert sets["wsl"].keys() - both <= {"debian-archive-keyring", "libpam-systemd", "login", "login.defs"}
    (own,) = built.glob("zaffre-wsl_*.deb")
    shown = subprocess.run(["dpkg-deb", "--contents", own], check=True, capture_output=True, text=True).stdout
    assert "./etc/apt/sources.list.d/zaffre.sources\n" in shown
    assert "./etc/systemd/system/tmp.mount -> /dev/null\n" in shown


def test_a_rule_that_the_definition_breaks_stops_the_build(lab: Lab, tmp_path: Path) -> None:
    distro = tmp_path / "distro"
    shutil.copytree(lab.distro, distro, symlinks=True)
    path = distro / "files/wsl/etc/wsl-distribution.conf"
    path.write_text(path.read_text().replace("defaultName = Zaffre\n", ""))
    done = lab.zaffre("--distro", str(distro), "build", "wsl", "--out", str(tmp_path / "out"), "--json", check=False)
    assert done.returncode == 2
    assert "oobe.defaultName: there is no oobe.defaultName" in json.loads(done.stdout)["error"]["brief"]
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def test_it_does_not_boot_by_itself(lab: Lab) -> None:
    done = lab.zaffre("run", "wsl", "--json", check=False)
    assert done.returncode == 2
    assert "wsl --install --from-file" in json.loads(done.stdout)["error"]["resolution"]


@pytest.fixture(scope="module")
def container(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    if os.geteuid() != 0:
        pytest.skip("only root can start a container here")
    root = tmp_path_factory.mktemp("wsl") / "root"
    root.mkdir()
    subprocess.run(
        ["tar", "--extract", "--gzip", "--numeric-owner", "--preserve-permissions", "--xattrs", "--xattrs-include=*",
         "--directory", root, "--file", built / "image.wsl"],
        check=True,
    )  # fmt: skip
    with started(root) as running:
        yield running
    shutil.rmtree(root)


def test_its_systemd_comes_up_whole(container: Container) -> None:
    state = container.settled(120.0)
    failed = container.run("systemctl", "--failed", "--plain", "--no-legend").stdout
    assert (state, failed) == ("running", ""), container.log.read_text(errors="replace")[-3000:]
    assert container.run("systemd-detect-virt", "--container").stdout.strip() == "wsl"


def test_no_unit_that_does_harm_runs(container: Container) -> None:
    for unit in HARMFUL:
        said = container.run("systemctl", "show", "--property=ActiveState,LoadState", "--value", unit).stdout.split()
        assert set(said) in ({"inactive", "masked"}, {"inactive", "not-found"}), (unit, said)


def test_the_first_start_makes_the_user(container: Container) -> None:
    container.settled(120.0)
    oobe = "/usr/lib/wsl/oobe"
    assert container.run(oobe, stdin="").returncode == 1, "nobody is there"
    done = container.run(oobe, stdin="Ada Lovelace\nroot\nada\nwrong\nother\nZaffre-Blue-7\nZaffre-Blue-7\n")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "begins with a letter" in done.stderr
    assert "root is taken" in done.stderr
    assert container.run("id", "-u", "ada").stdout.strip() == "1000"
    groups = set(container.run("id", "-Gn", "ada").stdout.split())
    assert {"ada", "adm", "sudo"} <= groups
    assert container.run("getent", "passwd", "ada").stdout.strip().endswith(":/home/ada:/bin/bash")
    asked = container.run("su", "--login", "ada", "-c", "sudo -S id -u", stdin="Zaffre-Blue-7\n")
    assert asked.stdout.strip() == "0", asked.stderr
    again = container.run(oobe, stdin="")
    assert (again.returncode, again.stdout) == (0, ""), "there is a user already"


def test_a_session_has_a_system_manager_of_its_own(container: Container) -> None:
    container.settled(120.0)
    if container.run("id", "ada").returncode:
        container.run("/usr/lib/wsl/oobe", stdin="ada\nZaffre-Blue-7\nZaffre-Blue-7\n")
    done = container.run("systemctl", "start", "user@1000.service")
    assert done.returncode == 0, done.stderr
    state = container.run(
        "su", "--login", "ada", "-c", "XDG_RUNTIME_DIR=/run/user/1000 systemctl --user is-system-running --wait"
    )
    assert state.stdout.strip() == "running", state.stderr


def test_its_package_manager_is_whole(container: Container) -> None:
    assert container.run("dpkg", "--audit").stdout == ""
    assert container.run("apt-get", "check").returncode == 0
    assert "Suites: stable" in container.run("cat", "/etc/apt/sources.list.d/zaffre.sources").stdout
    assert container.run("apt-mark", "showmanual").stdout.split() == ["zaffre-wsl"]
