# SPDX-License-Identifier: Apache-2.0
"""What every system that boots is made with, immutable or not: its initrd, and the ESP with a signed boot loader."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zaffre.definition import Distribution, Image, tree_digest
from zaffre.digest import Sha256, sha256_file
from zaffre.image import uki
from zaffre.image.encryption import encryption_needs
from zaffre.image.output import place
from zaffre.image.seal import Compression
from zaffre.image.state import state_modules, state_programs
from zaffre.image.steps import Workshop, code_digest
from zaffre.store import Action, ActionResult
from zaffre.tree import KernelModules, extract_root, kernel_image, scratch_for
from zaffre.tree.ownnames import OwnNames

LOADER_CONF = "timeout 0\neditor no\n"
"""loader.conf(5). No `default`: with one, an entry whose tries are used up would be booted again and again."""

_INITRD_LEVELS = {"dev": 1, "release": 12}


@dataclass(frozen=True)
class SystemPlan:
    """What is to be built. `root` is the tar blob of the configured root; `carried` are files, by relative path, that
    tell of what the image was made.
    """

    distribution: Distribution
    image: Image
    profile: str
    version: str
    root: Sha256
    carried: Mapping[str, str] = field(default_factory=dict)

    @property
    def own(self) -> OwnNames:
        """How the packages of ours are called, of a system that has some."""
        return OwnNames(self.distribution, self.image, self.version)

    @property
    def slug(self) -> str:
        """The name that tells this system's partitions and boot entries from another's."""
        return self.own.system

    @property
    def compression(self) -> Compression:
        chosen = self.image.compression.release if self.profile == "release" else self.image.compression.dev
        return Compression(mkfs_option(chosen), self.image.compression.cluster)


def initrd_action(
    plan: SystemPlan, files: Mapping[str, str], shop: Workshop
) -> tuple[Action, Callable[[Path], ActionResult]]:
    """The step that makes `initrd` and `kernel` (facts: the kernel's `version`). `files` are generated, for the initrd
    alone.
    """
    image = plan.image
    tree = plan.distribution.path(image.initrd.tree) if image.initrd.tree else None
    level = _INITRD_LEVELS[plan.profile]
    action = Action(
        kind="initrd",
        label=f"initrd {image.name} {plan.profile}",
        inputs={
            "root": plan.root,
            "initrd": image.initrd.model_dump(mode="json"),
            "tree": tree_digest(tree) if tree else None,
            "state": dict(files),
            "level": level,
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="the programs and modules that find and verify the root",
    )

    def produce(_: Path) -> ActionResult:
        # It loads a reader of ELF files, which a build that has this step already does without.
        from zaffre.image.initrd import (  # noqa: PLC0415
            InitrdSpec,
            pack_initrd,
            stage_initrd,
            useless_for_initrd,
        )

        archive = shop.store.verified(plan.root)
        with scratch_for(shop.store, "initrd", expected=archive.stat().st_size) as scratch:
            root, staging, generated = scratch / "root", scratch / "staging", scratch / "state"
            for folder in (root, staging, generated):
                folder.mkdir()
            write_generated(generated, files)
            more = encryption_needs(image)
            spec = InitrdSpec(
                modules=(*image.initrd.modules, *state_modules(image), *more.modules),
                programs=(*image.initrd.programs, *state_programs(image), *more.programs),
                libraries=more.libraries,
                files=image.initrd.files,
                units=(*image.initrd.units, *more.units),
                trees=(generated, *((tree,) if tree else ())),
                architecture=shop.architecture,
            )
            extract_root(archive, root, skip=useless_for_initrd(archive, spec))
            stage_initrd(root, staging, spec)
            version = KernelModules.of_root(root).version
            packed = scratch / "initrd.lz4"
            pack_initrd(staging, packed, sandbox=shop.sandbox, level=level, epoch=shop.epoch, kernel_version=version)
            kernel = kernel_image(root, version)
            outputs = {"initrd": shop.store.add_file(packed), "kernel": shop.store.add_file(kernel)}
        return ActionResult(outputs, {"version": version})

    return action, produce


def loader_action(shop: Workshop) -> tuple[Action, Callable[[Path], ActionResult]]:
    action = Action(
        kind="loader",
        label="boot loader",
        inputs={
            "architecture": shop.architecture,
            "certificate": sha256_file(shop.keys.db_certificate),
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="the firmware starts what the owner has signed",
    )

    def produce(scratch: Path) -> ActionResult:
        target = scratch / "loader.efi"
        uki.sign_boot_loader(
            target, architecture=shop.architecture, keys=shop.keys, epoch=shop.epoch, sandbox=shop.sandbox
        )
        return ActionResult({"loader": shop.store.add_file(target, move=True)}, {})

    return action, produce


def stage_esp(entry: str, signed: Path, scratch: Path, shop: Workshop) -> Path:
    """A folder of `scratch` with boot loader, the one UKI `signed` under the file name `entry`, and loader.conf."""
    esp = scratch / "esp"
    loader = esp / uki.boot_loader_path(shop.architecture)
    for folder in (loader.parent, esp / "EFI/Linux", esp / "loader"):
        folder.mkdir(parents=True)
    place(shop.store.verified(signed_loader(shop)), loader)
    shutil.copyfile(signed, esp / "EFI/Linux" / entry)
    (esp / "loader/loader.conf").write_text(LOADER_CONF)
    for path in (esp, *esp.rglob("*")):
        os.utime(path, (shop.epoch, shop.epoch))
    return esp


def signed_loader(shop: Workshop) -> Sha256:
    """The boot loader, signed by the owner."""
    return shop.store.perform(*loader_action(shop), use_cache=shop.use_cache).result.outputs["loader"]


def mkfs_option(compressor: str) -> str:
    """The definition's "zstd,12" as mkfs.erofs(1) wants it: "zstd,level=12"; "none" is no compression."""
    name, _, level = compressor.partition(",")
    if name == "none":
        return ""
    return f"{name},level={level}" if level else name


def write_generated(folder: Path, files: Mapping[str, str]) -> None:
    """Write generated files below `folder`; a content that begins with `->` is the target of a link."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content.startswith("->"):
            path.symlink_to(content.removeprefix("->"))
        else:
            path.write_text(content)
