# SPDX-License-Identifier: Apache-2.0
"""The program that judges a boot, run by a real shell on folders that stand for those of a host."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

from zaffre.image.updates import COUNTED, HEALTH_PROGRAM, HOOKS
from zaffre.slots import HEALTH

_FOLDERS = ("/usr/lib/zaffre", "/usr/lib/os-release", HEALTH, "/boot/EFI/Linux", COUNTED, "/etc/zaffre")


@dataclass(frozen=True)
class Host:
    """A host whose paths are below `root`. Its checks of root and /var hold."""

    root: Path

    def program(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}\n")
        file.chmod(0o755)

    def entries(self, *names: str, running: str | None = None) -> None:
        """The kernel images on the ESP. `running`: the one that the boot loader counts."""
        for name in names:
            (self.root / "boot/EFI/Linux" / name).touch()
        if running is not None:
            counted = self.root / COUNTED.lstrip("/")
            counted.parent.mkdir(parents=True)
            counted.write_bytes(b"\x06\0\0\0" + f"\\EFI\\Linux\\{running}\0".encode("utf-16-le"))

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        text = resources.files("zaffre.image").joinpath("scripts", "health.sh").read_text()
        for path in _FOLDERS:
            text = text.replace(path, f"{self.root}{path}")
        path = f"{self.root}/bin:{os.environ['PATH']}"
        return subprocess.run(
            ["sh", "-s", *words], input=text, capture_output=True, text=True, check=False, env={"PATH": path, **env}
        )

    @property
    def verdict(self) -> dict:
        return json.loads((self.root / HEALTH.lstrip("/") / "2.json").read_text())

    @property
    def kernels(self) -> set[str]:
        return {path.name for path in (self.root / "boot/EFI/Linux").iterdir()}

    @property
    def bad(self) -> set[str]:
        return {path.name for path in (self.root / HEALTH.lstrip("/") / "bad").iterdir()}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    made.program(HEALTH_PROGRAM, "exit 0")
    (tmp_path / "usr/lib/os-release").write_text('IMAGE_ID=mine-host\nIMAGE_VERSION=2\nNAME="Mine $(false)"\n')
    (tmp_path / "boot/EFI/Linux").mkdir(parents=True)
    return made


def test_a_healthy_boot_has_a_verdict_of_each_check_in_order(host: Host) -> None:
    host.program(f"{HOOKS}/network", "echo up")
    host.program("etc/zaffre/health.d/my own", "exit 0")
    done = host.run("check")
    assert done.returncode == 0, done.stderr
    assert [(one["name"], one["status"]) for one in host.verdict["checks"]] == [
        ("root", 0),
        ("var", 0),
        ("network", 0),
        ("my_own", 0),
    ]
    assert (host.verdict["version"], host.verdict["trial"], host.verdict["healthy"]) == ("2", False, True)
    assert "network: healthy" in done.stdout


@pytest.mark.parametrize(
    ("text", "status", "words"), [("exit 3", 3, "exit code 3"), ("exec sleep 30", 124, "no answer within 1 s")]
)
def test_one_check_that_fails_or_hangs_fails_the_boot(host: Host, text: str, status: int, words: str) -> None:
    host.program(f"{HOOKS}/a", text)
    host.program(f"{HOOKS}/b", "exit 0")
    done = host.run("check", ZAFFRE_HEALTH_SECONDS="1")
    assert done.returncode == 1
    assert [one["status"] for one in host.verdict["checks"]] == [0, 0, status, 0]
    assert f"a: not healthy: {words}" in done.stdout


def test_a_verdict_that_cannot_be_written_fails_and_none_is_in_its_place(host: Host) -> None:
    assert host.run("check").returncode == 0
    before = host.verdict
    (host.root / HEALTH.lstrip("/") / ".verdict").mkdir()
    done = host.run("check")
    assert done.returncode == 1
    assert "the verdict can't be written" in done.stderr
    assert host.verdict == before


def test_a_check_that_cannot_be_run_fails(host: Host) -> None:
    host.program(f"{HOOKS}/a", "exit 0")
    (host.root / HOOKS / "a").chmod(0o644)
    (host.root / HOOKS / "dangling").symlink_to("nowhere")
    assert host.run("check").returncode == 1
    told = {one["name"]: one["status"] for one in host.verdict["checks"]}
    assert (told["a"], told["dangling"]) == (126, 127)


def test_versions_whose_tries_are_used_up_are_remembered_but_not_the_one_that_runs(host: Host) -> None:
    running = "mine-host_2+0-3.efi"
    host.entries(running, "mine-host_3+0-3.efi", "mine-host_4+0.efi", "mine-host_5+1-2.efi", "mine-host_1.efi")
    host.entries("other_9+0-3.efi", running=running)
    host.run("check")
    assert host.bad == {"3", "4"}
    assert host.verdict["trial"] is True


def test_a_version_that_comes_up_after_all_is_bad_no_longer(host: Host) -> None:
    host.run("check")
    (host.root / HEALTH.lstrip("/") / "bad/2").write_text("1\n")
    assert host.run("check").returncode == 0
    assert host.bad == set()


@pytest.mark.parametrize(
    ("running", "others", "restarts"),
    [
        ("mine-host_2+2-1.efi", (), True),  # it may come up at the next try
        ("mine-host_2+0-3.efi", ("mine-host_1.efi",), True),
        ("mine-host_2+0-3.efi", ("mine-host_1+1-2.efi",), True),
        ("mine-host_2+0-3.efi", ("mine-host_1+0-3.efi",), False),
        ("mine-host_2+0-4.efi", (), False),
    ],
)
def test_the_gate_restarts_what_is_not_healthy_where_that_can_help(
    host: Host, running: str, others: tuple[str, ...], *, restarts: bool
) -> None:
    host.program("bin/systemctl", "exit 3")
    host.entries(running, *others, running=running)
    done = host.run("gate")
    assert done.returncode == (1 if restarts else 0)
    assert ("the machine restarts" if restarts else "it stays") in done.stdout
    host.program("bin/systemctl", "exit 0")
    assert host.run("gate").returncode == 0


@pytest.mark.parametrize("blessed", [True, False])
def test_where_every_boot_counts_a_version_gets_its_tries_again(host: Host, *, blessed: bool) -> None:
    running = "mine-host_2+1-2.efi"
    host.entries("mine-host_2.efi" if blessed else running, "mine-host_1+3.efi", running=running)
    done = host.run("arm", "3")
    assert done.returncode == 0, done.stderr
    assert host.kernels == {"mine-host_2+3.efi", "mine-host_1+3.efi"}


def test_a_version_that_was_good_is_not_on_trial_again_where_every_boot_counts(host: Host) -> None:
    host.program("bin/systemctl", "exit 3")
    running = "mine-host_2+0-3.efi"
    host.entries(running, "mine-host_1+3.efi", running=running)
    assert host.run("gate", "3").returncode == 1
    assert host.run("arm", "3").returncode == 0
    (host.root / "boot/EFI/Linux/mine-host_2+3.efi").rename(host.root / "boot/EFI/Linux" / running)
    done = host.run("gate", "3")
    assert done.returncode == 0
    assert "has its tries again" in done.stdout
    assert host.kernels == {"mine-host_2+3.efi", "mine-host_1+3.efi"}
    # Where it does not, the word is not there, and nothing changes.
    (host.root / "boot/EFI/Linux/mine-host_2+3.efi").rename(host.root / "boot/EFI/Linux" / running)
    assert host.run("gate").returncode == 1


def test_one_that_was_good_and_does_not_come_up_any_more_is_bad(host: Host) -> None:
    host.entries("mine-host_3+0-3.efi", "mine-host_2+2-1.efi", running="mine-host_2+2-1.efi")
    good = host.root / HEALTH.lstrip("/") / "good/3"
    good.parent.mkdir(parents=True)
    good.touch()
    host.run("check")
    assert host.bad == {"3"}
    assert not good.exists()


def test_without_its_kernel_image_nothing_is_armed_and_that_is_said(host: Host) -> None:
    host.entries("mine-host_1+3.efi", running="mine-host_2+2-1.efi")
    done = host.run("arm", "3")
    assert done.returncode == 1
    assert "no kernel image of version 2" in done.stderr
