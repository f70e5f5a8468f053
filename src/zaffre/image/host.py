# SPDX-License-Identifier: Apache-2.0
"""A host image, step by step: configured root -> initrd and kernel -> sealed root -> UKI -> disk.

Each step is an action whose key holds all it depends on; the disk is put together anew, as that is cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Architecture, Image, tree_digest
from zaffre.digest import JSON, Sha256, sha256_file
from zaffre.errors import DefinitionError
from zaffre.image import disk, uki
from zaffre.image.contract import require_contract
from zaffre.image.encryption import is_encrypted
from zaffre.image.fips import lay_fips_module
from zaffre.image.follow import bring_agent, follow_files
from zaffre.image.ipe import POLICY_FILE, has_policy, ipe_files, policy_text, signed_policy, with_signature
from zaffre.image.output import place
from zaffre.image.policy import Policy, policy_files, policy_of
from zaffre.image.seal import make_erofs, make_verity
from zaffre.image.state import state_files
from zaffre.image.steps import Workshop, code_digest
from zaffre.image.system import SystemPlan, initrd_action, signed_loader, stage_esp
from zaffre.image.updates import update_files
from zaffre.measured.prediction import predict, write_prediction
from zaffre.slots import entry_name
from zaffre.store import Action, ActionResult
from zaffre.tree import (
    customise,
    inventory_of,
    inventory_text,
    pack,
    prune,
    scan,
    scratch_for,
)
from zaffre.tree.rootfs import write_bytes

_TRUST = "usr/lib/verity.d/zaffre.crt"


@dataclass(frozen=True)
class HostParts:
    """Blobs of a host's files, and the root hash that binds the kernel to its root."""

    erofs: Sha256
    verity: Sha256
    inventory: Sha256
    uki: Sha256
    root_hash: str
    pruned: Sha256
    policy: Policy | None


def build_host(plan: SystemPlan, shop: Workshop) -> HostParts:
    """Run the steps. The same plan and lock give the same blobs."""
    policy = policy_of(plan.distribution, plan.image, shop)
    labels = policy.labels.digest if policy else None
    kernel = shop.perform("initrd", *initrd_action(plan, state_files(plan.image, labels=labels).initrd, shop))
    pruned = shop.perform("pruned root", *_pruned_action(plan, shop))
    root = shop.perform("root", *_root_action(plan, pruned, policy, shop))
    root_hash = str(root.facts["root_hash"])
    signed = shop.perform("kernel image", *_uki_action(plan, shop, kernel, root))
    return HostParts(
        erofs=root.outputs["erofs"],
        verity=root.outputs["verity"],
        inventory=root.outputs["inventory"],
        uki=signed.outputs["uki"],
        root_hash=root_hash,
        pruned=pruned.outputs["root"],
        policy=policy,
    )


def host_tree(plan: SystemPlan, parts: HostParts, shop: Workshop) -> Sha256:
    """The blob of a host's root as an archive of its files. Like the file system in the image, it has one time; labels
    of SELinux are in the image alone.
    """
    inputs = _root_inputs(plan, parts.pruned, parts.policy, shop)
    action = Action("host-tree", f"tree {plan.image.name}", inputs, "the definition applied, as an archive of files")

    def produce(scratch: Path) -> ActionResult:
        archive = shop.store.verified(parts.pruned)
        with scratch_for(shop.store, "tree", expected=archive.stat().st_size) as folder:
            root = folder / "root"
            _customised(plan, shop, archive, root, parts.policy)
            packed = scratch / "tree.tar"
            with packed.open("wb", buffering=1 << 20) as out:
                pack(root, scan(root), out, mtime=lambda _: shop.epoch)
        return ActionResult({"tree": shop.store.add_file(packed, move=True)}, {})

    return shop.perform("tree", action, produce).outputs["tree"]


def place_host(plan: SystemPlan, parts: HostParts, folder: Path, shop: Workshop, *, agent: Sha256 | None = None) -> int:
    """Write root, verity tree, UKI, what a machine will measure of them, and the disk image into `folder`; returns the
    bytes written. `agent` is the signed extension that a host which follows a channel brings along.
    """
    names = {"root.erofs": parts.erofs, "root.verity": parts.verity, "uki.efi": parts.uki}
    for name, digest in {**names, "inventory.json": parts.inventory}.items():
        place(shop.store.verified(digest), folder / name)
    predicted = predict(
        folder / "uki.efi",
        loader=shop.store.verified(signed_loader(shop)),
        certificate=shop.keys.db_certificate,
        image=plan.image.name,
        version=plan.version,
        architecture=shop.architecture,
    )
    write_prediction(folder, predicted)
    with shop.store.scratch("disk") as scratch:
        entry = entry_name(plan.slug, plan.version, tries=plan.image.update.tries)
        esp = stage_esp(entry, folder / "uki.efi", scratch, shop)
        carried = bring_agent(plan.image, agent, folder, esp, shop) if agent is not None else 0
        layout = disk.DiskPlan(
            architecture=shop.architecture,
            name=plan.image.name,
            version=plan.version,
            root_hash=parts.root_hash,
            esp_bytes=plan.image.disk.esp,
            root_bytes=plan.image.disk.root,
            verity_bytes=plan.image.disk.verity,
            var_bytes=plan.image.disk.var_min,
        )
        disk.require_fit(
            layout,
            root_size=(folder / "root.erofs").stat().st_size,
            verity_size=(folder / "root.verity").stat().st_size,
            esp_size=2 * (folder / "uki.efi").stat().st_size + carried,
        )
        disk.write_disk(
            layout,
            folder / "image.raw",
            esp=esp,
            root=folder / "root.erofs",
            verity=folder / "root.verity",
            scratch=scratch,
            epoch=shop.epoch,
            sandbox=shop.sandbox,
        )
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def _pruned_action(plan: SystemPlan, shop: Workshop) -> tuple[Action, Callable[[Path], ActionResult]]:
    """Half of a configured root, and most of its modules, stay out of an image: a step of its own, so that a file that
    is changed in the definition costs neither reading that half again nor unpacking modules.
    """
    image = plan.image
    action = Action(
        kind="prune",
        label=f"pruned root {image.name}",
        inputs={
            "root": plan.root,
            "prune": image.prune.model_dump(mode="json"),
            "modules": image.kernel.model_dump(mode="json", include={"modules", "load"}),
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="what the image takes away is gone, and its kernel modules are unpacked",
    )

    def produce(scratch: Path) -> ActionResult:
        archive = shop.store.path(plan.root)
        with (
            ThreadPoolExecutor(1) as aside,
            scratch_for(shop.store, "prune", expected=archive.stat().st_size) as folder,
        ):
            # Hashing 300 MB takes as long as unpacking them, so both are done at once; nothing is kept if it fails.
            sound = aside.submit(shop.store.verified, plan.root)
            root = folder / "root"
            prune(archive, root, image, architecture=shop.architecture, sandbox=shop.sandbox)
            packed = scratch / "pruned.tar"
            with packed.open("wb", buffering=1 << 20) as out:
                pack(root, scan(root), out, mtime=lambda _: shop.epoch)
            sound.result()
        return ActionResult({"root": shop.store.add_file(packed, move=True)}, {})

    return action, produce


def _root_action(
    plan: SystemPlan, pruned: ActionResult, policy: Policy | None, shop: Workshop
) -> tuple[Action, Callable[[Path], ActionResult]]:
    inputs: Mapping[str, JSON] = {
        **_root_inputs(plan, pruned.outputs["root"], policy, shop),
        "compression": f"{plan.compression.algorithm} {plan.compression.cluster}",
    }
    label = f"root {plan.image.name} {plan.profile}"
    action = Action("root", label, inputs, "the definition applied, sealed by dm-verity")

    def produce(scratch: Path) -> ActionResult:
        archive = shop.store.path(pruned.outputs["root"])
        with (
            ThreadPoolExecutor(1) as aside,
            scratch_for(shop.store, "root", expected=archive.stat().st_size) as folder,
        ):
            sound = aside.submit(shop.store.verified, pruned.outputs["root"])
            _customised(plan, shop, archive, folder / "root", policy)
            done = _seal(plan, shop, folder / "root", scratch, policy)
            sound.result()
            return done

    return action, produce


_ELSEWHERE = {"extends", "profiles", "packages", "initrd", "disk", "compression", "description", "forms", "surface"}
"""Settings that the files in the root don't depend on."""


def _root_inputs(plan: SystemPlan, pruned: Sha256, policy: Policy | None, shop: Workshop) -> dict[str, JSON]:
    image = plan.image
    return {
        "root": pruned,
        "settings": image.model_dump(mode="json", exclude=_ELSEWHERE),
        "identity": plan.distribution.identity.model_dump(mode="json"),
        "trees": {tree: tree_digest(plan.distribution.path(tree)) for tree in image.files.trees},
        "state": _generated(plan, policy),
        "policy": policy.inputs() if policy else None,
        "trust": sha256_file(shop.keys.verity_certificate),
        "ipe": [policy_text(), sha256_file(shop.keys.db_certificate)] if has_policy(image) else None,
        "carried": dict(plan.carried),
        "version": plan.version,
        "epoch": shop.epoch,
        "tools": shop.sandbox.tools.key,
        "code": code_digest(),
    }


def _generated(plan: SystemPlan, policy: Policy | None) -> dict[str, str]:
    """The files of our own making that a root has, by relative path."""
    return {
        **state_files(plan.image, labels=policy.labels.digest if policy else None).root,
        **update_files(plan.image, plan.slug),
        **follow_files(plan.distribution, plan.image),
        **ipe_files(plan.image),
    }


def _customised(plan: SystemPlan, shop: Workshop, archive: Path, root: Path, policy: Policy | None) -> None:
    """Make the image's tree at `root`, which is absent. DefinitionError if an update could break it."""
    customise(
        archive,
        root,
        plan.image,
        distribution=plan.distribution,
        version=plan.version,
        generated={**_generated(plan, policy), _TRUST: shop.keys.verity_certificate.read_text(), **plan.carried},
        architecture=shop.architecture,
        epoch=shop.epoch,
        sandbox=shop.sandbox,
    )
    if policy is not None:
        for path, content in policy_files(policy, plan.image.selinux.mode, shop).items():
            write_bytes(root, f"etc/selinux/{path}", content)
    if plan.image.fips:
        lay_fips_module(root, architecture=shop.architecture, scratch=root.parent, sandbox=shop.sandbox)
    if has_policy(plan.image):
        write_bytes(root, POLICY_FILE, signed_policy(shop.keys, scratch=root.parent, sandbox=shop.sandbox))
    if plan.image.update.tries:
        require_contract(root, where=f"images/{plan.image.name}.toml")


def _seal(plan: SystemPlan, shop: Workshop, root: Path, scratch: Path, policy: Policy | None) -> ActionResult:
    """Make the sealed forms of the image's tree at `root` in `scratch`."""
    image = plan.image
    erofs, verity = scratch / "root.erofs", scratch / "root.verity"
    with ThreadPoolExecutor(1) as aside:
        trees = {name: plan.distribution.path(name) for name in image.files.trees}
        words = image.kernel_arguments(Architecture(shop.architecture))
        listed = aside.submit(inventory_of, root, command_line=words, trees=trees)
        make_erofs(
            root,
            erofs,
            compression=plan.compression,
            epoch=shop.epoch,
            label=image.name,
            sandbox=shop.sandbox,
            labels=policy.labels.files(shop) if policy else None,
        )
        listing = inventory_text(listed.result())
    sealed = shop.store.add_file(erofs, move=True)
    root_hash = make_verity(shop.store.path(sealed), verity, digest=sealed, sandbox=shop.sandbox)
    return ActionResult(
        {
            "erofs": sealed,
            "verity": shop.store.add_file(verity, move=True),
            "inventory": shop.store.add_bytes(listing.encode()),
            "os-release": shop.store.add_bytes((root / "usr/lib/os-release").read_bytes()),
        },
        {"root_hash": root_hash},
    )


def _pcr_key(image: Image, shop: Workshop) -> uki.PcrKey | None:
    """The key that signs what is measured of the kernel image, where a TPM asks for that."""
    if not is_encrypted(image):
        return None
    if shop.keys.pcr is None:
        raise DefinitionError(
            "these keys have none that signs what a TPM finds measured",
            where=str(shop.keys.db_key.parent),
            details=f"images/{image.name}.toml asks for it: disk.var_encryption",
            resolution="'zaffre keys add' makes it, and leaves the others as they are",
        )
    return shop.keys.pcr


def _uki_action(
    plan: SystemPlan, shop: Workshop, kernel: ActionResult, root: ActionResult
) -> tuple[Action, Callable[[Path], ActionResult]]:
    words = plan.image.kernel_arguments(Architecture(shop.architecture))
    root_hash = str(root.facts["root_hash"])
    arguments = uki.command_line(words, root_hash=root_hash)
    pcr = _pcr_key(plan.image, shop)
    action = Action(
        kind="uki",
        label=f"uki {plan.image.name} {plan.profile}",
        inputs={
            "kernel": kernel.outputs["kernel"],
            "initrd": kernel.outputs["initrd"],
            "os-release": root.outputs["os-release"],
            "arguments": arguments,
            "signed_root": has_policy(plan.image),
            "certificate": sha256_file(shop.keys.db_certificate),
            **({"pcr": sha256_file(pcr.public)} if pcr else {}),
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="kernel, initrd and root hash in one signed file",
    )

    def produce(scratch: Path) -> ActionResult:
        target = scratch / "uki.efi"
        given = arguments
        if has_policy(plan.image):
            given = with_signature(arguments.split(), root_hash, shop.keys, scratch=scratch, sandbox=shop.sandbox)
        uki.build_uki(
            target,
            kernel=shop.store.verified(kernel.outputs["kernel"]),
            kernel_version=str(kernel.facts["version"]),
            initrd=shop.store.verified(kernel.outputs["initrd"]),
            os_release=shop.store.verified(root.outputs["os-release"]),
            arguments=given,
            architecture=shop.architecture,
            keys=shop.keys,
            epoch=shop.epoch,
            scratch=scratch,
            sandbox=shop.sandbox,
            pcr=pcr,
        )
        return ActionResult({"uki": shop.store.add_file(target, move=True)}, {})

    return action, produce
