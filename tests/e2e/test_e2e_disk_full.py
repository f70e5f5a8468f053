# SPDX-License-Identifier: Apache-2.0
"""A disk that fills up in the middle of a build, and the same command again when there is room."""

from __future__ import annotations

from pathlib import Path

from support.own import copy_result, locked, packages, recorded, seed
from support.program import Done, Place, leftovers
from support.trouble import Disk
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.store import Store

IMAGE = "container-host"
MB = 1_000_000


def step_bytes(built: Path, name: str) -> int:
    manifest = Manifest.model_validate_json((built / MANIFEST_NAME).read_bytes())
    return next(step.bytes for step in manifest.build.steps if step.name == name)


def refused(place: Place, disk: Disk, *, step: str) -> Done:
    done = place.run("build", IMAGE, "--out", str(place.out), "--json", code=3)
    assert f"- {step}  failed" in done.err
    assert done.said.startswith(f"error: no room left on the file system {disk.path}\n")
    assert "what was half written has been removed" in done.said
    assert "zaffre store gc" in done.said
    assert done.json["error"]["exit_code"] == 3
    assert list(leftovers(place)) == []
    assert not any(place.out.glob(f"{IMAGE}-*"))
    return done


def test_the_store_fills_up_in_each_step(own: Place, disk: Disk, tmp_path: Path) -> None:
    built = own.build(IMAGE)
    uki, root = ((built / name).stat().st_size for name in ("uki.efi", "root.erofs"))
    # What the store would give up by itself, before the disk is full, is in tests/store/test_store_room.py.
    environment = {**own.environment, "ZAFFRE_STORE_FREE": "0"}
    place = own.at(store=disk.path / "store", out=tmp_path / "out", environment=environment)
    seed(place, "tools", IMAGE, trees=True, unpacked=False)
    disk.leave(20 * MB)
    refused(place, disk, step=f"unpack {len(packages(own, IMAGE))} packages")
    disk.leave(1000 * MB)
    copy_configured(own.store, place)
    pruned = step_bytes(built, "pruned root")
    for free, step in (
        (uki // 2, "initrd"),
        (uki + pruned // 2, "pruned root"),
        (pruned + root // 2, "root"),
        (root + uki // 2, "kernel image"),
    ):
        disk.leave(free)
        refused(place, disk, step=step)
    disk.leave(200 * MB)
    place.build(IMAGE)
    assert place.run("store", "verify", "--json").json["ok"] is True


def copy_configured(source: Path, place: Place) -> None:
    """So that the steps after it are reached soon."""
    store, epoch = Store(source), locked(place).epoch
    kinds = ("configure", "declared", "selinux")
    for action, result in (one for kind in kinds for one in recorded(store, kind)):
        if action.inputs.get("epoch", epoch) == epoch:
            copy_result(store, Store(place.store), action, result)


def test_the_place_for_builds_fills_up(own: Place, disk: Disk) -> None:
    built = own.build(IMAGE)
    uki, root = ((built / name).stat().st_size for name in ("uki.efi", "root.erofs"))
    place = own.at(out=disk.path / "out")
    for free in (MB, root // 2, root + uki + 10 * MB, 2 * root):
        disk.leave(free)
        refused(place, disk, step="disk")
        assert list(place.out.iterdir()) == []
    disk.leave(1000 * MB)
    folder = place.build(IMAGE)
    assert "everything holds" in place.run("verify", str(folder)).out


def test_a_disk_without_any_room(own: Place, disk: Disk) -> None:
    """Not even a lock can be made."""
    disk.leave(4096)
    (disk.path / "filler").write_bytes(bytes(4096))
    done = own.at(store=disk.path / "store").run("build", IMAGE, "--out", str(own.out / "other"), code=3)
    assert done.said.startswith(f"error: no room left on the file system {disk.path}\n")
