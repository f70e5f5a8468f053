# SPDX-License-Identifier: Apache-2.0
"""systemd-repart(8) as the maker of disk images: from repart.d definitions, without loop devices, reproducible."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from zaffre.sandbox import Mount, Sandbox

ROOT_TYPES = {"amd64": "root-x86-64", "arm64": "root-arm64"}
"""Partition types of a root, by architecture (Discoverable Partitions Specification)."""

_SECONDS = 300.0


def make_image(
    target: Path,
    definitions: Mapping[str, str],
    *,
    size: str,
    seed: uuid.UUID,
    mounts: Sequence[Mount],
    arguments: Sequence[str] = (),
    scratch: Path,
    epoch: int,
    sandbox: Sandbox,
) -> None:
    """Write the raw, sparse image `target`. Equal definitions, files and seed give equal bytes.

    `size` is in bytes or "auto"; `mounts` bring what the definitions name. It is made in a folder beside
    `target`, as `scratch` may be on another file system, and appears under its name when it is whole.
    """
    folder = scratch / "repart.d"
    folder.mkdir()
    for name, text in definitions.items():
        (folder / name).write_text(text)
    output = target.with_name(f".{target.name}")
    output.mkdir()
    sandbox.run(
        [
            "systemd-repart",
            "--empty=create",
            f"--size={size}",
            f"--seed={seed}",
            "--offline=yes",
            # By default the ESP's file system gets sectors of 4096 bytes, which firmware cannot read on such a disk.
            "--sector-size=512",
            "--dry-run=no",
            "--no-pager",
            "--pretty=no",
            "--definitions=/job/repart.d",
            *arguments,
            "/job/disk/image.raw",
        ],
        mounts=[Mount(folder, "/job/repart.d"), Mount(output, "/job/disk", writable=True), *mounts],
        env={"SOURCE_DATE_EPOCH": str(epoch), "SYSTEMD_REPART_MKFS_OPTIONS_VFAT": "--invariant", "TMPDIR": "/run"},
        timeout=_SECONDS,
    )
    (output / "image.raw").rename(target)
    output.rmdir()
