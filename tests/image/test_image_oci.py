# SPDX-License-Identifier: Apache-2.0
"""OCI archives: every digest holds, nothing of the building machine is in them."""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path

from zaffre.digest import sha256_bytes
from zaffre.image.oci import write_oci_archive


def make(target: Path, program: Path) -> None:
    write_oci_archive(
        target,
        reference="zaffre.local/probe:1",
        files={"/usr/bin/probe": program, "/etc/motd": program},
        command=["/usr/bin/probe"],
        architecture="arm64",
        epoch=1_700_000_000,
    )


def blobs(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar if member.isfile()}


def test_digests_lead_from_the_index_to_the_layer(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF...")
    program.chmod(0o755)
    make(tmp_path / "a.tar", program)
    files = blobs(tmp_path / "a.tar")
    for name, data in files.items():
        if name.startswith("blobs/sha256/"):
            assert name.rpartition("/")[2] == sha256_bytes(data)

    def follow(descriptor: dict) -> bytes:
        data = files["blobs/sha256/" + descriptor["digest"].removeprefix("sha256:")]
        assert len(data) == descriptor["size"]
        return data

    index = json.loads(files["index.json"])
    manifest = json.loads(follow(index["manifests"][0]))
    config = json.loads(follow(manifest["config"]))
    layer = follow(manifest["layers"][0])
    assert config["architecture"] == index["manifests"][0]["platform"]["architecture"] == "arm64"
    assert config["rootfs"]["diff_ids"] == ["sha256:" + sha256_bytes(layer)]
    with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
        members = {member.name: member for member in tar}
    assert members["usr/bin/probe"].mode == 0o755
    assert all((one.uid, one.gid, one.mtime) == (0, 0, 1_700_000_000) for one in members.values())


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"x")
    make(tmp_path / "a.tar", program)
    os.utime(program, (1, 1))
    make(tmp_path / "b.tar", program)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
