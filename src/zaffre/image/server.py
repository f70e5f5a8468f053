# SPDX-License-Identifier: Apache-2.0
"""A server image, step by step: configured root -> signed kernel as a package -> root with our packages -> disk.

The root is an ext4 file system that the machine's package manager changes; at the first boot it takes the whole disk.
What is ours in it came there as packages, so an upgrade changes nothing that a new image would not have.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import SelinuxMode
from zaffre.digest import Sha256
from zaffre.errors import IntegrityError
from zaffre.image.disk import ServerDisk, require_server_fit, write_server_disk
from zaffre.image.ext4 import make_ext4
from zaffre.image.labelling import label_ext4
from zaffre.image.output import place
from zaffre.image.own import KernelFacts, kernel_facts, kernel_package, system_package
from zaffre.image.policy import labels_in, policy_files, policy_of
from zaffre.image.serverstate import (
    INSTALL_POLICY,
    SERVER_LINKS,
    policy_package_files,
    server_initrd_files,
    server_root_files,
)
from zaffre.image.steps import Workshop
from zaffre.image.system import SystemPlan, initrd_action, stage_esp
from zaffre.image.writable import fill_root, root_inputs, tree_action
from zaffre.store import Action, ActionResult
from zaffre.tree import inventory_of, inventory_text, scratch_for
from zaffre.upstream import LockedPackage


@dataclass(frozen=True)
class OwnPackages:
    """Blobs of the packages of ours, by file name, and of the kernel image that one of them carries."""

    uki: Sha256
    kernel: KernelFacts
    packages: Mapping[str, Sha256]


@dataclass(frozen=True)
class ServerParts:
    """Blobs of a server's files."""

    ours: OwnPackages
    ext4: Sha256
    inventory: Sha256


def build_server(
    plan: SystemPlan, packages: tuple[LockedPackage, ...], keyring: bytes | None, shop: Workshop
) -> ServerParts:
    """Run the steps. The same plan, lock and keys give the same blobs.

    `packages` is the locked set; `keyring` has the public key of the repository that the server follows, if it does.
    """
    ours = build_own(plan, packages, keyring, shop)
    root = shop.perform("root", *_root_action(plan, tuple(ours.packages.values()), shop))
    return ServerParts(ours, ext4=root.outputs["ext4"], inventory=root.outputs["inventory"])


def build_own(
    plan: SystemPlan, packages: tuple[LockedPackage, ...], keyring: bytes | None, shop: Workshop
) -> OwnPackages:
    """The packages of ours alone, as a repository wants them."""
    initrd = shop.perform("initrd", *initrd_action(plan, server_initrd_files(), shop))
    facts = kernel_facts(plan, packages, str(initrd.facts["version"]))
    kernel = shop.perform("kernel package", *kernel_package(plan, facts, initrd, shop))
    policy = policy_of(plan.distribution, plan.image, shop)
    generated = {
        **server_root_files(plan.distribution, plan.image, keyring),
        **(policy_package_files(policy_files(policy, plan.image.selinux.mode, shop)) if policy else {}),
    }
    system = shop.perform("system package", *system_package(plan, facts, generated, shop, links=SERVER_LINKS))
    made = {
        f"{plan.own.kernel}_{facts.version}_{shop.architecture}.deb": kernel.outputs["package"],
        f"{plan.own.system}_{plan.version}_{shop.architecture}.deb": system.outputs["package"],
    }
    return OwnPackages(kernel.outputs["uki"], facts, made)


def server_tree(plan: SystemPlan, parts: ServerParts, shop: Workshop) -> Sha256:
    """The blob of a server's root as an archive of its files."""
    step = tree_action(plan, tuple(parts.ours.packages.values()), shop)
    return shop.perform("tree", *step).outputs["tree"]


def place_server(plan: SystemPlan, parts: ServerParts, folder: Path, shop: Workshop) -> int:
    """Write packages, UKI and the disk image into `folder`; returns the bytes written."""
    ours = parts.ours
    for name, digest in {**ours.packages, "uki.efi": ours.uki, "inventory.json": parts.inventory}.items():
        place(shop.store.verified(digest), folder / name)
    with shop.store.scratch("disk") as scratch:
        esp = stage_esp(f"{plan.slug}_{ours.kernel.entry}.efi", folder / "uki.efi", scratch, shop)
        root = shop.store.verified(parts.ext4)
        disk = ServerDisk(
            architecture=shop.architecture,
            name=plan.slug,
            version=plan.version,
            esp_bytes=plan.image.disk.esp,
            root_bytes=plan.image.disk.root,
        )
        # The kernel that runs, one that is known to be good, and the new one (install-kernel.sh).
        require_server_fit(disk, esp_size=3 * (folder / "uki.efi").stat().st_size)
        write_server_disk(
            disk,
            folder / "image.raw",
            esp=esp,
            root=root,
            scratch=scratch,
            epoch=shop.epoch,
            sandbox=shop.sandbox,
        )
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def _root_action(
    plan: SystemPlan, ours: tuple[Sha256, ...], shop: Workshop
) -> tuple[Action, Callable[[Path], ActionResult]]:
    image = plan.image
    action = Action(
        kind="server-root",
        label=f"root {image.name} {plan.profile}",
        inputs={
            **root_inputs(plan, ours, shop),
            "size": image.disk.root,
        },
        reason="the locked packages with the definition's own, as a file system",
    )

    def produce(scratch: Path) -> ActionResult:
        archive = shop.store.verified(plan.root)
        with scratch_for(shop.store, "root", expected=archive.stat().st_size) as folder:
            root = folder / "root"
            fill_root(root, archive, plan, ours, shop)
            listing = inventory_text(inventory_of(root))
            target = scratch / "root.ext4"
            make_ext4(
                root,
                target,
                size=image.disk.root,
                label="root",
                seed=file_system_uuid(plan),
                epoch=shop.epoch,
                sandbox=shop.sandbox,
            )
            if image.selinux.mode is not SelinuxMode.OFF:
                tables = labels_in(root)
                if tables is None:
                    raise IntegrityError("the root has no table of SELinux labels", where=f"/{INSTALL_POLICY}")
                label_ext4(target, root, tables, epoch=shop.epoch, scratch=folder, sandbox=shop.sandbox)
        return ActionResult(
            {
                "ext4": shop.store.add_file(target, move=True),
                "inventory": shop.store.add_bytes(listing.encode()),
            },
            {},
        )

    return action, produce


def file_system_uuid(plan: SystemPlan) -> uuid.UUID:
    """One for each release of an image: what stands in a file system is then nobody's secret and no clock's."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{plan.slug} {plan.version} root")
