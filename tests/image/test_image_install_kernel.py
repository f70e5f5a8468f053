# SPDX-License-Identifier: Apache-2.0
"""The script that puts a kernel image on the EFI system partition: what stays there, and what goes."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import pytest

_BOOTCTL = """#!/bin/sh
case $1 in
--print-esp-path) [ -n "$ESP" ] || exit 1; echo "$ESP" ;;
--no-variables) echo updated >"$ESP/updated" ;;
esac
"""
_UDEVADM = """#!/bin/sh
echo "$@" >>"$LOG"
"""
_LATE = """#!/bin/sh
case $1 in
--print-esp-path) grep -qs settle "$LOG" || exit 1; echo "$ESP" ;;
esac
"""
"""A manager that has no partition until udev gave it its name."""
_DISK = "LoaderDevicePartUUID-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
_STUB = "StubImageIdentifier-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"


@dataclass(frozen=True)
class Place:
    root: Path

    @property
    def entries(self) -> Path:
        return self.root / "esp/EFI/Linux"

    def names(self) -> set[str]:
        return {path.name for path in self.entries.iterdir()}

    def install(
        self, version: str, *, running: str = "", esp: bool = True, efi: bool = True
    ) -> subprocess.CompletedProcess[str]:
        kernel, variables = self.root / "kernel", self.root / "efivars"
        (kernel / "entry").write_text(f"NAME=acme-server\nVERSION={version}\nTRIES=3\n")
        (kernel / "kernel.efi").write_text(f"kernel {version}")
        text = resources.files("zaffre.image").joinpath("scripts", "install-kernel.sh").read_text()
        assert "/usr/lib/zaffre/kernel" in text
        assert "/sys/firmware/efi/efivars" in text
        text = text.replace("/usr/lib/zaffre/kernel", str(kernel))
        text = text.replace("/sys/firmware/efi/efivars", str(variables if efi else self.root / "none"))
        if running:
            # As efivarfs shows it.
            path = f"\\EFI\\Linux\\{running}\0".encode("utf-16-le")
            (variables / _STUB).write_bytes(b"\x06\0\0\0" + path)
        environment = {
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            "ESP": str(self.root / "esp") if esp else "",
            "LOG": str(self.root / "udevadm.log"),
        }
        return subprocess.run(["sh", "-c", text], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    for folder in ("bin", "kernel", "efivars", "esp/EFI/Linux"):
        (tmp_path / folder).mkdir(parents=True)
    for name, text in {"bootctl": _BOOTCTL, "udevadm": _UDEVADM}.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    return Place(tmp_path)


def test_a_new_kernel_is_on_trial_beside_the_one_that_runs(place: Place) -> None:
    (place.entries / "acme-server_1.efi").touch()
    done = place.install("2", running="acme-server_1.efi")
    assert done.returncode == 0, done.stderr
    assert place.names() == {"acme-server_1.efi", "acme-server_2+3.efi"}
    assert (place.entries / "acme-server_2+3.efi").read_text() == "kernel 2"
    assert (place.root / "esp/updated").exists(), "the boot loader too is brought up to date"


def test_the_one_that_runs_and_the_newest_good_one_stay(place: Place) -> None:
    for name in ("1.efi", "2.efi", "3+0-3.efi", "4+2-1.efi"):
        (place.entries / f"acme-server_{name}").touch()
    (place.entries / "other_9.efi").touch()
    done = place.install("5", running="acme-server_4+3.efi")
    assert done.returncode == 0, done.stderr
    assert place.names() == {
        "acme-server_2.efi",
        "acme-server_4+2-1.efi",
        "acme-server_5+3.efi",
        "other_9.efi",
    }
    assert "removed acme-server_3" in done.stdout


def test_versions_are_compared_as_versions(place: Place) -> None:
    for name in ("6.9.1.efi", "6.12.1.efi", "6.10.1.efi"):
        (place.entries / f"acme-server_{name}").touch()
    place.install("6.13.1", running="acme-server_6.9.1.efi")
    assert place.names() == {"acme-server_6.9.1.efi", "acme-server_6.12.1.efi", "acme-server_6.13.1+3.efi"}


@pytest.mark.parametrize("present", ["acme-server_2.efi", "acme-server_2+1-2.efi"])
def test_one_that_is_there_is_not_put_on_trial_again(place: Place, present: str) -> None:
    (place.entries / present).touch()
    (place.entries / "acme-server_1.efi").touch()
    assert place.install("2", running=present).returncode == 0
    assert place.names() == {present, "acme-server_1.efi"}


def test_without_its_partition_the_package_is_left_unconfigured(place: Place) -> None:
    done = place.install("2", esp=False)
    assert done.returncode == 1
    assert "is not mounted" in done.stderr


def test_its_partition_gets_its_new_name_before_anybody_waits_for_it(place: Place) -> None:
    """As after the unpacking of a newer udev, whose rules have not seen the disk yet."""
    (place.root / "bin/bootctl").write_text(_LATE)
    (place.root / "efivars" / _DISK).write_bytes(b"\x06\0\0\0" + "AB-12\0".encode("utf-16-le"))
    done = place.install("2")
    assert done.returncode == 0, done.stderr
    assert place.names() == {"acme-server_2+3.efi"}
    assert (place.root / "udevadm.log").read_text().splitlines() == [
        "trigger --action=change /dev/disk/by-partuuid/ab-12",
        "settle --timeout=30",
    ]


def test_in_a_container_there_is_nothing_to_do(place: Place) -> None:
    assert place.install("2", efi=False).returncode == 0
    assert place.names() == set()
