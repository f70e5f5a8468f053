# SPDX-License-Identifier: Apache-2.0
"""Locks and builds to compare, made on the spot: a build is a root file tree, its real inventory, and a manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from zaffre.digest import sha256_bytes, sha256_file
from zaffre.manifest import MANIFEST_NAME, Artifact, Manifest
from zaffre.tree import inventory_of, inventory_text
from zaffre.tree.rootfs import write_text
from zaffre.upstream import Lock, LockedComponent, LockedPackage, LockedSet, LockedSuite, Users

WHEN = datetime(2026, 11, 22, 9, 47, 27, tzinfo=UTC)


def package(name: str, version: str = "1.0-1", **changes: object) -> LockedPackage:
    facts: dict[str, object] = {
        "name": name,
        "version": version,
        "architecture": "amd64",
        "sha256": sha256_bytes(f"{name} {version}".encode()),
        "size": 1000,
        "path": f"pool/main/{name[0]}/{name}_{version}.deb",
        "suite": "stable",
        "archive": "debian",
        "source": name,
        "source_version": version,
    }
    return LockedPackage.model_validate(facts | changes)


def lock(
    *packages: LockedPackage,
    image: str = "host",
    users: Users | None = None,
    components: Sequence[LockedComponent] = (),
    date: datetime = WHEN,
    tools: Sequence[LockedPackage] = (),
    distribution: str = "test",
) -> Lock:
    suite = LockedSuite(upstream="debian", archive="debian", suite="stable", release_sha256="12" * 32, date=date)

    def one(name: str, members: Sequence[LockedPackage]) -> LockedSet:
        return LockedSet(
            name=name,
            architecture="amd64",
            upstream="debian",
            request="cd" * 32,
            users=users or Users(),
            packages=tuple(members),
        )

    sets = [one(image, packages), *([one("tools", tools)] if tools else [])]
    return Lock(
        distribution=distribution,
        created=WHEN,
        serial=1,
        suites=(suite,),
        sets=tuple(sets),
        components=tuple(components),
    )


def build(
    folder: Path,
    packages: Mapping[str, Sequence[str]],
    *,
    versions: Mapping[str, str] | None = None,
    command_line: Sequence[str] = (),
    trees: Mapping[str, Path] | None = None,
    fill: Callable[[Path], None] = lambda _: None,
    **changes: object,
) -> Path:
    """A build of an image whose root has what `fill` puts there; `packages` are paths by the package that has them."""
    root = folder.with_name(f"{folder.name}.root")
    fill(root)
    versions = versions or {}
    database = "usr/lib/sysimage/dpkg"
    stanzas = [
        f"Package: {name}\nStatus: install ok installed\nVersion: {versions.get(name, '1')}\nArchitecture: amd64\n"
        for name in packages
    ]
    write_text(root, f"{database}/status", "\n".join(stanzas))
    for name, paths in packages.items():
        write_text(root, f"{database}/info/{name}.list", "".join(f"{path}\n" for path in paths))
    os.utime(root)
    folder.mkdir(parents=True)
    inventory = inventory_of(root, command_line=command_line, trees=trees)
    (folder / "inventory.json").write_text(inventory_text(inventory))
    (folder / "root.erofs").write_bytes(b"root of " + folder.name.encode())
    manifest: dict[str, object] = {
        "image": "host",
        "kind": "host",
        "version": "1.20260504.1",
        "architecture": "amd64",
        "profile": "dev",
        "debug": False,
        "definition": "0" * 64,
        "lock": "0" * 64,
        "tools": "0" * 64,
        "epoch": 1_777_000_000,
        "packages": [
            {
                "name": name,
                "version": versions.get(name, "1"),
                "architecture": "amd64",
                "source": name,
                "source_version": versions.get(name, "1"),
                "sha256": sha256_bytes(f"{name} {versions.get(name, '1')}".encode()),
                "archive": "debian",
                "suite": "stable",
            }
            for name in packages
        ],
        "build": {"key": "0" * 64, "steps": [], "wall_seconds": 1.0, "cpu_seconds": 1.0, "peak_memory_bytes": 1},
    }
    write_manifest(folder, {**manifest, **changes})
    return folder


def write_manifest(folder: Path, fields: Mapping[str, object]) -> None:
    artifacts = {
        path.name: Artifact(sha256=sha256_file(path), size=path.stat().st_size)
        for path in sorted(folder.iterdir())
        if path.name != MANIFEST_NAME
    }
    text = Manifest.model_validate({"artifacts": artifacts, **fields}).model_dump_json()
    (folder / MANIFEST_NAME).write_text(text)
