# SPDX-License-Identifier: Apache-2.0
"""What a host has that follows a channel: settings that its agent reads, units after the boot, and the program."""

from __future__ import annotations

import os
import subprocess
from importlib import resources
from pathlib import Path

import pytest

from zaffre.agent.settings import read_settings
from zaffre.definition import Distribution, Image, Kind, load_distribution, reference_root
from zaffre.definition.update import Update
from zaffre.image.follow import PROGRAM, ROOT_OF_TRUST, SETTINGS, follow_files, settings
from zaffre.image.settings import required_by, unit_settings
from zaffre.image.updates import update_files
from zaffre.offer import Window
from zaffre.tree.overlay import lay_files
from zaffre.trust.generated import unknown

FOLLOWS = Update(tries=3, place="https://releases.example/acme", channel="stable", trusted="zaffre.toml")


def host(update: Update = FOLLOWS) -> Image:
    return Image(name="host", kind=Kind.HOST, upstream="debian", update=update)


@pytest.fixture(scope="module")
def distribution() -> Distribution:
    return load_distribution(reference_root())


def test_a_host_that_follows_nothing_has_none_of_it(distribution: Distribution) -> None:
    assert follow_files(distribution, host(Update(tries=3))) == {}


def test_it_has_the_root_of_trust_and_files_that_are_known(distribution: Distribution) -> None:
    files = follow_files(distribution, host())
    assert files[ROOT_OF_TRUST] == distribution.path("zaffre.toml").read_text()
    assert unknown([f"/{path}" for path in files], set()) == []


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"window": "22:30-04:00", "restart": False, "rate": 2_000_000, "certificates": "/usr/lib/acme/ca.pem"},
        {"place": "http://[fd00::1]:8080/a%20b/~c"},
        {"extensions": ["site-7", "inspect"], "agent": "my-agent"},
    ],
)
def test_the_agent_reads_its_settings_as_they_were_meant(tmp_path: Path, more: dict[str, object]) -> None:
    update = Update.model_validate({**FOLLOWS.model_dump(), **more})
    path = tmp_path / Path(SETTINGS).name
    path.write_text(settings(update))
    found = read_settings([path])
    assert (found.place, found.channel, found.restart, found.hold) == (update.place, "stable", update.restart, False)
    assert (found.extensions, found.agent) == (tuple(update.extensions), update.agent)
    assert (found.rate, found.ca) == (update.rate or 0, update.certificates)
    assert found.window == (Window.parse(update.window) if update.window else None)


def test_it_comes_after_the_boot_was_judged(tmp_path: Path, distribution: Distribution) -> None:
    lay_files(tmp_path, {**update_files(host(), "mine-host"), **follow_files(distribution, host())})
    unit = "zaffre-follow.service"
    assert unit in required_by(tmp_path, "boot-complete.target", kind="wants")
    assert unit not in required_by(tmp_path, "multi-user.target", kind="wants")
    found = unit_settings(tmp_path, unit)
    assert found is not None
    assert "boot-complete.target" in found.words("Unit", "After")
    assert found.last("Service", "ExecStart") == f"sh /{PROGRAM} agent"
    assert found.last("Service", "ProtectSystem") == "strict"
    assert found.words("Service", "ReadWritePaths") == ("-/var/lib/extensions", "-/var/lib/confexts")
    assert "\nCapabilityBoundingSet=\n" in (tmp_path / "usr/lib/systemd/system" / unit).read_text()


def test_nothing_unsigned_is_laid_over_it_whatever_else_its_files_say(
    tmp_path: Path, distribution: Distribution
) -> None:
    lay_files(tmp_path, follow_files(distribution, host()))
    for kind in ("sysext", "confext"):
        unit = tmp_path / f"usr/lib/systemd/system/systemd-{kind}.service"
        unit.write_text(f"[Service]\nExecStart=systemd-{kind} refresh\n")
        (unit.parent / f"{unit.name}.d/20-own.conf").write_text("[Service]\nExecStart=systemd-{kind} merge\n")
        found = unit_settings(tmp_path, unit.name)
        assert found is not None
        for key in ("ExecStart", "ExecReload"):
            assert "--image-policy=root=signed+absent:usr=signed+absent" in str(found.last("Service", key))


SYSTEMCTL = """#!/bin/sh
echo "$@"
case $* in
    *systemd-sysext.service) folder={root}/var/lib/extensions ;;
    *systemd-confext.service) folder={root}/var/lib/confexts ;;
    *) exit 0 ;;
esac
! grep --quiet refused "$folder"/*.raw
"""
"""Lays nothing over when any of the extensions is to be refused."""


def follow(root: Path) -> subprocess.CompletedProcess[str]:
    """The program on folders that stand for those of a host, whose systemctl says what it was told to do."""
    text = resources.files("zaffre.image").joinpath("scripts", "follow.sh").read_text()
    for path in ("/boot/zaffre", "/var/lib/extensions", "/var/lib/confexts"):
        text = text.replace(path, f"{root}{path}")
    systemctl = root / "bin/systemctl"
    systemctl.parent.mkdir(exist_ok=True)
    systemctl.write_text(SYSTEMCTL.format(root=root))
    systemctl.chmod(0o755)
    env = {"PATH": f"{systemctl.parent}:{os.environ['PATH']}"}
    return subprocess.run(
        ["sh", "-s", "agent"], input=text, capture_output=True, text=True, check=False, env=env, timeout=20
    )


def test_the_extension_is_copied_once_and_a_newer_one_stays(tmp_path: Path) -> None:
    brought, kept = tmp_path / "boot/zaffre/agent.raw", tmp_path / "var/lib/extensions/agent.raw"
    brought.parent.mkdir(parents=True)
    brought.write_bytes(b"of the disk image")
    kept.parent.mkdir(parents=True)
    kept.with_name("agent.raw.new").write_bytes(b"of the di")  # the power failed
    done = follow(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "reload-or-restart systemd-sysext.service",
        "--no-block start zaffre-agent.timer",
    ]
    assert [(path.name, path.read_bytes()) for path in kept.parent.iterdir()] == [("agent.raw", b"of the disk image")]
    kept.write_bytes(b"newer")
    brought.unlink()
    assert follow(tmp_path).returncode == 0
    assert kept.read_bytes() == b"newer"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_one_that_is_refused_keeps_neither_the_agent_nor_the_others_from_being_laid_over(tmp_path: Path) -> None:
    kept, settings = tmp_path / "var/lib/extensions", tmp_path / "var/lib/confexts"
    for folder, contents in (
        (kept, {"agent": "good", "bad": "refused", "tools": "good"}),
        (settings, {"site": "refused"}),
    ):
        folder.mkdir(parents=True)
        for name, content in contents.items():
            (folder / f"{name}.raw").write_text(content)
    done = follow(tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        *["reload-or-restart systemd-sysext.service"] * 2,
        *["reload-or-restart systemd-confext.service"] * 2,
        "try-reload-or-restart systemd-networkd.service",
        "--no-block start zaffre-agent.timer",
    ]
    assert names(kept) == {"agent.raw", "bad.raw.refused", "tools.raw.refused"}
    assert names(settings) == {"site.raw.refused"}


def test_the_agent_of_the_disk_image_is_the_last_resort(tmp_path: Path) -> None:
    kept, brought = tmp_path / "var/lib/extensions/agent.raw", tmp_path / "boot/zaffre/agent.raw"
    for path, content in ((kept, "refused"), (brought, "of the disk image")):
        path.parent.mkdir(parents=True)
        path.write_text(content)
    assert follow(tmp_path).returncode == 0
    assert kept.read_text() == "of the disk image"
    kept.write_text("refused")
    brought.write_text("refused")
    done = follow(tmp_path)
    assert done.returncode != 0
    assert "zaffre-agent.timer" not in done.stdout


def test_without_an_extension_nothing_is_begun(tmp_path: Path) -> None:
    done = follow(tmp_path)
    assert done.returncode != 0
    assert "agent.raw" in done.stderr
    assert done.stdout == ""
