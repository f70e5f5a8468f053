# SPDX-License-Identifier: Apache-2.0
"""Another implementation of TUF as the judge: go-tuf's client follows what we publish, and refuses what it must."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.go_programs import go_program
from support.mirror import serving
from support.releases import Yard

pytestmark = [pytest.mark.tools, pytest.mark.long]

PACKAGE = "github.com/theupdateframework/go-tuf/v2/examples/cli/tuf-client"
VERSION = "v2.4.2"


def get(program: Path, home: Path, url: str, path: str) -> str:
    """What the client says when it gets a target."""
    command = [program, "get", "-u", f"{url}/metadata", "-t", f"{url}/targets", path]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout + done.stderr


def test_go_tuf_follows_rotations_and_finds_every_file(yard: Yard) -> None:
    program = go_program(PACKAGE, VERSION)
    yard.publish("1.1")
    yard.promote("1.1")
    home = yard.root / "home"
    home.mkdir()
    (home / "root.json").write_bytes(yard.first)
    with serving(yard.repo, "", "honest") as url:
        begin = [program, "init", "-u", f"{url}/metadata", "-f", "root.json"]
        subprocess.run(begin, cwd=home, check=True, capture_output=True, timeout=60)
        for role in ("root-1", "timestamp", "snapshot", "stable", "targets"):
            yard.rotate(role.partition("-")[0], [role], [f"{role}-9"])
        yard.publish("1.2", floor="1.1")
        record = yard.records()["1.2"]
        for path in [*record.files.values(), "dev/host-amd64/1.2/manifest.json", "stable/host-amd64/1.1/manifest.json"]:
            assert "Successfully downloaded" in get(program, home, url, path), path
        fetched = next((home / "tuf_download").glob("*root.erofs"))
        assert fetched.read_bytes() == (yard.root / "out/host-1.2-amd64/root.erofs").read_bytes()

        shutil.copytree(yard.repo, yard.root / "now")
        path = record.files["uki.efi"]
        (place,) = (yard.repo / Path("targets", path).parent).iterdir()
        place.write_bytes(b"x" * place.stat().st_size)
        shutil.rmtree(home / "tuf_download")
        (home / "tuf_download").mkdir()
        assert "Successfully" not in get(program, home, url, path)
        timestamp = yard.repo / "metadata/timestamp.json"
        timestamp.write_bytes(timestamp.read_bytes().replace(b'"version":', b'"version":9'))
        assert "Successfully" not in get(program, home, url, "dev/host-amd64/1.2/manifest.json")
