# SPDX-License-Identifier: Apache-2.0
"""Small disks that a machine reads its settings from.

A NoCloud seed, from which cloud-init learns who may log in: a FAT file system labelled CIDATA with `meta-data` and
`user-data` (cloud-init's documentation, "NoCloud"). And a medium with a signed configuration, for an edge device;
and one with the version that a host is updated to.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from zaffre.digest import JSON
from zaffre.sandbox import Mount, Sandbox

SEED_DISK = "zaffre-seed"
MEDIUM_DISK = "zaffre-medium"
"""Serials of the disks."""

_MEDIUM_LABEL = "ZAFFRE-CONF"
_UPDATE_LABEL = "ZAFFRE-NEXT"
_ROOM = 2 << 20
_TABLES = 256
"""What tables of clusters take of a file system is less than this part of it."""
_SECONDS = 60.0


def make_seed(target: Path, *, instance: str, settings: Mapping[str, JSON], scratch: Path, sandbox: Sandbox) -> None:
    """Write the disk `target`. `settings` is the cloud-config, which as JSON is YAML too."""
    files = {
        "meta-data": json.dumps({"instance-id": instance, "local-hostname": instance}),
        "user-data": "#cloud-config\n" + json.dumps(settings),
    }
    for name, text in files.items():
        (scratch / name).write_text(text + "\n")
    _make_fat(target, "CIDATA", {name: scratch / name for name in files}, sandbox)


def make_medium(target: Path, *, configuration: Path, name: str, sandbox: Sandbox) -> None:
    """Write the disk `target` with the signed image of the confext `name`, as its owner would carry it to a device."""
    _make_fat(target, _MEDIUM_LABEL, {f"{name}.raw": configuration}, sandbox)


def make_update(target: Path, files: Mapping[str, Path], *, sandbox: Sandbox) -> None:
    """Write the disk `target` with the files of the version that a host is updated to, under the names given."""
    _make_fat(target, _UPDATE_LABEL, files, sandbox)


def _make_fat(target: Path, label: str, files: Mapping[str, Path], sandbox: Sandbox) -> None:
    with target.open("wb") as file:
        size = sum(path.stat().st_size for path in files.values())
        file.truncate(_ROOM + size + size // _TABLES)
    mounts = [
        Mount(target, "/job/disk.img", writable=True),
        *(Mount(path, f"/job/files/{name}") for name, path in files.items()),
    ]
    sandbox.run(["mkfs.vfat", "-n", label, "/job/disk.img"], mounts=mounts, timeout=_SECONDS)
    names = [f"/job/files/{name}" for name in files]
    sandbox.run(["mcopy", "-i", "/job/disk.img", *names, "::"], mounts=mounts, timeout=_SECONDS)
