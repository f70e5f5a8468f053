# SPDX-License-Identifier: Apache-2.0
"""A NoCloud seed: the small disk from which cloud-init learns who may log in.

A FAT file system labelled CIDATA with `meta-data` and `user-data` (cloud-init's documentation, "NoCloud").
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from zaffre.digest import JSON
from zaffre.sandbox import Mount, Sandbox

SEED_DISK = "zaffre-seed"
"""Serial of the disk."""

_BYTES = 2 << 20
_SECONDS = 60.0


def make_seed(target: Path, *, instance: str, settings: Mapping[str, JSON], scratch: Path, sandbox: Sandbox) -> None:
    """Write the disk `target`. `settings` is the cloud-config, which as JSON is YAML too."""
    files = {
        "meta-data": json.dumps({"instance-id": instance, "local-hostname": instance}),
        "user-data": "#cloud-config\n" + json.dumps(settings),
    }
    for name, text in files.items():
        (scratch / name).write_text(text + "\n")
    with target.open("wb") as file:
        file.truncate(_BYTES)
    mounts = [
        Mount(target, "/job/seed.img", writable=True),
        *(Mount(scratch / name, f"/job/{name}") for name in files),
    ]
    sandbox.run(["mkfs.vfat", "-n", "CIDATA", "/job/seed.img"], mounts=mounts, timeout=_SECONDS)
    sandbox.run(
        ["mcopy", "-i", "/job/seed.img", *(f"/job/{name}" for name in files), "::"], mounts=mounts, timeout=_SECONDS
    )
