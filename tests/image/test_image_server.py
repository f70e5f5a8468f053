# SPDX-License-Identifier: Apache-2.0
"""A server's build: its two own packages, and what is refused. What the machine does is in tests/boot."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.upstream import load_lock

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("boot-server")]


@pytest.fixture(scope="module")
def built(lab: Lab) -> Path:
    return lab.build("server")


def control(deb: Path) -> dict[str, str]:
    text = subprocess.run(["dpkg-deb", "--field", deb], check=True, capture_output=True, text=True).stdout
    return dict(line.split(": ", 1) for line in text.splitlines() if ": " in line and not line.startswith(" "))


def script(deb: Path, name: str) -> str:
    shown = subprocess.run(["dpkg-deb", "--info", deb, name], check=True, capture_output=True, text=True)
    return shown.stdout


def own(built: Path) -> tuple[Path, Path]:
    """The system's package and the kernel's."""
    (kernel,) = built.glob("zaffre-server-kernel_*.deb")
    (system,) = built.glob("zaffre-server_*.deb")
    return system, kernel


def test_a_build_holds(lab: Lab, built: Path) -> None:
    report = lab.json("verify", str(built))
    assert report["ok"]
    assert {"kernel image signature", "kernel image in the disk image", "boot loader signature"} <= {
        one["name"] for one in report["checks"]
    }


def test_the_system_is_a_package_that_depends_on_what_is_asked_for(lab: Lab, built: Path) -> None:
    system, kernel = own(built)
    fields = control(system)
    depends = {one.split()[0] for one in fields["Depends"].split(", ")}
    assert {"zaffre-server-kernel", "openssh-server", "cloud-init", "nftables"} <= depends
    lock = load_lock(lab.distro / "zaffre.lock")
    assert lock is not None
    assert fields["Version"] == f"1.{lock.version}"
    (image,) = (
        one
        for one in lock.set("server", "amd64").packages
        if one.name.startswith("linux-image-6") or "+deb" in one.name
    )
    assert f"{image.name} (= {image.version})" in control(kernel)["Depends"]
    assert control(kernel)["Version"] == f"{image.version}.{lock.version}"


def test_an_upgrade_keeps_what_the_image_takes_away_and_sets(built: Path) -> None:
    system, _ = own(built)
    postinst, preinst = script(system, "postinst"), script(system, "preinst")
    assert "dpkg-statoverride --update --add root root 0755 /usr/bin/chfn\n" in postinst
    assert "/usr/bin/sudo" not in postinst, "it keeps its bit"
    assert "--rename --divert /usr/lib/os-release.upstream /usr/lib/os-release\n" in preinst
    files = subprocess.run(["dpkg-deb", "--contents", system], check=True, capture_output=True, text=True).stdout
    assert "./etc/dpkg/dpkg.cfg.d/zaffre\n" in files
    assert "./etc/apt/sources.list.d/zaffre.sources\n" in files
    assert "./usr/share/keyrings/zaffre-archive-keyring.gpg\n" in files


def test_the_name_before_and_after_a_log_in_is_the_distributions(built: Path, tmp_path: Path) -> None:
    system, _ = own(built)
    subprocess.run(["dpkg-deb", "--extract", system, tmp_path], check=True)
    assert (tmp_path / "usr/lib/issue").read_text() == "Zaffre Linux 1 \\n \\l\n\n"
    assert (tmp_path / "usr/lib/issue.net").read_text() == "Zaffre Linux 1\n"
    assert (tmp_path / "usr/lib/motd").read_text() == "Welcome to Zaffre Linux 1.\n"
    # The upstream's own are in no image, and no upgrade of the package that has them brings them back.
    excluded = (tmp_path / "etc/dpkg/dpkg.cfg.d/zaffre").read_text().splitlines()
    assert {"path-exclude=/etc/issue", "path-exclude=/etc/issue.net"} <= set(excluded)
    assert "path-exclude=/etc/motd" not in excluded, "a definition may have one of its own"
    paths = {entry["path"] for entry in json.loads((built / "inventory.json").read_text())["content"]}
    assert {"/etc/os-release", "/usr/lib/issue"} <= paths
    assert not {"/etc/issue", "/etc/issue.net", "/etc/motd"} & paths


def test_a_configuration_file_of_a_package_is_refused(lab: Lab, built: Path, tmp_path: Path) -> None:
    distro = tmp_path / "distro"
    shutil.copytree(lab.distro, distro, symlinks=True)
    (distro / "files/server/etc/nftables.conf").write_text("flush ruleset\n")
    done = lab.zaffre("--distro", str(distro), "build", "server", "--out", str(tmp_path / "out"), "--json", check=False)
    assert done.returncode == 2
    error = json.loads(done.stdout)["error"]
    assert error["brief"] == "/etc/nftables.conf is a configuration file of the package nftables"
    assert "drop-in" in error["resolution"]
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
