# SPDX-License-Identifier: Apache-2.0
"""`zaffre lint` on a disk as it was built, and on one whose boot loader would never go back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.sandbox import Mount
from zaffre.store import copy_sparse


@pytest.fixture(scope="module")
def host(lab: Lab) -> Path:
    return lab.build("container-host")


def test_the_reference_host_holds(lab: Lab, host: Path) -> None:
    report = json.loads(lab.zaffre("lint", str(host), "--json").stdout)
    assert report == {"image": str(host / "image.raw"), "ok": True, "breaches": []}


def test_a_disk_that_would_not_go_back_is_a_finding(lab: Lab, host: Path, tmp_path: Path) -> None:
    disk, loader = tmp_path / "image.raw", tmp_path / "loader.conf"
    copy_sparse(host / "image.raw", disk)
    loader.write_text("timeout 0\ndefault zaffre-container-host_*\n")
    with lab.workspace() as work:
        Making(work).sandbox.run(
            ["mcopy", "-o", "-i", "/job/image.raw@@1M", "/job/loader.conf", "::/loader/loader.conf"],
            mounts=[Mount(disk, "/job/image.raw", writable=True), Mount(loader, "/job/loader.conf")],
            timeout=60,
        )
    variable = tmp_path / "LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
    variable.write_bytes(b"\x07\0\0\0" + "old.efi\0".encode("utf-16-le"))
    done = lab.zaffre("lint", str(disk), "--variables", str(tmp_path), check=False)
    assert done.returncode == 1
    assert done.stdout.count("loader-default") == 2
    assert variable.name in done.stdout
    assert "could leave this host without a system that boots" in done.stdout


def test_a_file_that_is_no_disk_is_wrong_use(lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "image.raw").write_bytes(b"\0" * 4096)
    done = lab.zaffre("lint", str(tmp_path), check=False)
    assert done.returncode in {2, 3}
    assert "image.raw" in done.stderr
