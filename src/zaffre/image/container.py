# SPDX-License-Identifier: Apache-2.0
"""A container image, step by step: root of the packages -> the definition applied -> one compressed layer -> layout.

One layer. Images made from this one share it as it is, and two releases of it share nothing in either form, as
nearly every layer that could be cut holds a file that an update changes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Image, Upstream, tree_digest
from zaffre.digest import JSON, Sha256, sha256_bytes
from zaffre.errors import DefinitionError
from zaffre.image.bare import BUNDLE, NO_HOME, UTC, account_files, certificate_bundle
from zaffre.image.layout import Layer, Packed, blob_path, moment, pack_image, write_archive
from zaffre.image.output import place
from zaffre.image.own import diverted, package_manager_files
from zaffre.image.steps import Workshop, code_digest
from zaffre.image.system import SystemPlan
from zaffre.store import Action, ActionResult
from zaffre.tree import extract_root, inventory_of, inventory_text, pack, scan, scratch_for, setuid_policy
from zaffre.tree.cleanup import clean
from zaffre.tree.configure import handles_single_packages
from zaffre.tree.customise import lay_definition, make_users, prune_files
from zaffre.tree.identity import OS_RELEASE
from zaffre.tree.overlay import give_owners, lay_files, lay_tree
from zaffre.tree.rootfs import inside, make_folder, make_link, read_text, write_bytes, write_text
from zaffre.tree.times import Moments

ARCHIVE = "image.oci.tar"
LAYOUT = "oci"

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_COMPRESS_SECONDS = 1800.0
_DIVERSIONS = "var/lib/dpkg/diversions"
_ANNOTATION = "org.opencontainers.image"
_SETTINGS = {"files", "users", "prune", "setuid", "os_release"}


@dataclass(frozen=True)
class ContainerParts:
    """Blobs of a container image's files, and what its layer is called."""

    layer: Layer
    inventory: Sha256


def require_container(upstream: Upstream, image: Image) -> None:
    """Raise DefinitionError for an upstream of which container images cannot be made."""
    if not handles_single_packages(upstream):
        raise DefinitionError(
            "a container image cannot be made of RPM packages yet",
            where=f"images/{image.name}.toml: upstream",
            resolution="take an upstream of Debian packages for this image; a host can be made of either",
        )


def build_container(plan: SystemPlan, generated: Mapping[str, bytes], shop: Workshop) -> ContainerParts:
    """Run the steps. The same plan and lock give the same blobs. `generated` are further files, by relative path."""
    root = shop.perform("root", *_root_action(plan, generated, shop))
    diff_id = root.outputs["root"]
    chosen = plan.image.container.compression
    compressor = chosen.release if plan.profile == "release" else chosen.dev
    layer = shop.perform("layer", *_layer_action(plan, diff_id, compressor, shop)).outputs["layer"]
    return ContainerParts(
        layer=Layer(layer, shop.store.path(layer).stat().st_size, diff_id, compressor.partition(",")[0]),
        inventory=root.outputs["inventory"],
    )


def place_container(plan: SystemPlan, parts: ContainerParts, folder: Path, shop: Workshop) -> int:
    """Write the layout as a folder and as an archive, and the inventory; returns the bytes written."""
    packed = _packed(plan, parts, shop)
    layer = shop.store.verified(parts.layer.digest)
    write_archive(folder / ARCHIVE, {**packed.files, blob_path(parts.layer.digest): layer}, epoch=shop.epoch)
    for name, data in packed.files.items():
        target = folder / LAYOUT / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    place(layer, folder / LAYOUT / blob_path(parts.layer.digest))
    place(shop.store.verified(parts.inventory), folder / "inventory.json")
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _packed(plan: SystemPlan, parts: ContainerParts, shop: Workshop) -> Packed:
    image, identity = plan.image, plan.distribution.identity
    annotations = _annotations(plan, shop.epoch)
    container = image.container
    config: dict[str, JSON] = {
        "Env": [f"PATH={_PATH}", *(f"{name}={value}" for name, value in container.environment.items())],
        "Labels": {**annotations, **container.labels},
    }
    said: Mapping[str, JSON] = {
        "User": container.user,
        "Entrypoint": list(container.entrypoint),
        "Cmd": list(container.command),
        "WorkingDir": container.directory,
    }
    config |= {key: value for key, value in said.items() if value}
    return pack_image(
        [parts.layer],
        architecture=shop.architecture,
        epoch=shop.epoch,
        config=config,
        annotations=annotations,
        created_by=f"zaffre build {image.name}: {identity.id} {plan.version}",
        reference={f"{_ANNOTATION}.ref.name": plan.version},
    )


def _annotations(plan: SystemPlan, epoch: int) -> dict[str, str]:
    """annotations.md. There is no `base`: nothing is below this image."""
    image, identity = plan.image, plan.distribution.identity
    said = {
        "created": moment(epoch),
        "title": f"{identity.id}-{image.name}",
        "version": plan.version,
        "vendor": identity.name,
        "description": image.description,
        "url": str(identity.home_url or ""),
    }
    return {f"{_ANNOTATION}.{key}": value for key, value in said.items() if value}


def _layer_action(
    plan: SystemPlan, root: Sha256, compressor: str, shop: Workshop
) -> tuple[Action, Callable[[Path], ActionResult]]:
    program, _, level = compressor.partition(",")
    action = Action(
        kind="layer",
        label=f"layer {plan.image.name} {plan.profile}",
        inputs={"root": root, "compressor": compressor, "tools": shop.sandbox.tools.key, "code": code_digest()},
        reason="the root as a compressed layer, by the locked tools: no library of this machine decides its digest",
    )

    def produce(scratch: Path) -> ActionResult:
        target = scratch / "layer"
        # gzip's header would have a name and a time, zstd's a job's size from the number of processors.
        argv = {"gzip": ["gzip", "--no-name", f"-{level}"], "zstd": ["zstd", "--quiet", "--single-thread", f"-{level}"]}
        shop.sandbox.run(
            [*argv[program], "--stdout"],
            stdin=shop.store.verified(root),
            stdout=target,
            timeout=_COMPRESS_SECONDS,
        )
        return ActionResult({"layer": shop.store.add_file(target, move=True)}, {})

    return action, produce


def _root_action(
    plan: SystemPlan, generated: Mapping[str, bytes], shop: Workshop
) -> tuple[Action, Callable[[Path], ActionResult]]:
    image = plan.image
    trees = {name: plan.distribution.path(name) for name in image.files.trees}
    action = Action(
        kind="container-root",
        label=f"root {image.name}",
        inputs={
            "root": plan.root,
            "settings": image.model_dump(mode="json", include=_SETTINGS),
            "bare": image.container.bare,
            "identity": plan.distribution.identity.model_dump(mode="json"),
            "image": image.name,
            "trees": [[name, tree_digest(path)] for name, path in trees.items()],
            "generated": {path: sha256_bytes(content) for path, content in generated.items()},
            "carried": dict(plan.carried),
            "version": plan.version,
            "architecture": shop.architecture,
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="the definition applied to its packages",
    )

    def produce(scratch: Path) -> ActionResult:
        archive = shop.store.verified(plan.root)
        with scratch_for(shop.store, "root", expected=archive.stat().st_size) as folder:
            root = folder / "root"
            extract_root(archive, root, skip=prune_files(archive, image))
            if image.container.bare:
                _fill_bare(root, archive, plan, shop)
            else:
                _fill(root, plan, generated, folder / "definition", shop)
            give_owners(root, image.files.owners, setuid=setuid_policy(image))
            clean(root)
            Moments.of_archive(archive).settle(root, epoch=shop.epoch)
            nodes = scan(root)
            listing = inventory_text(inventory_of(root, trees=trees, nodes=nodes))
            packed = scratch / "root.tar"
            with packed.open("wb", buffering=1 << 20) as out:
                pack(root, nodes, out, mtime=lambda node: int(node.status.st_mtime))
        return ActionResult(
            {
                "root": shop.store.add_file(packed, move=True),
                "inventory": shop.store.add_bytes(listing.encode()),
            },
            {},
        )

    return action, produce


def _fill(root: Path, plan: SystemPlan, generated: Mapping[str, bytes], folder: Path, shop: Workshop) -> None:
    """Lay the definition over a root with a package manager, which is told what of other packages it replaces."""
    folder.mkdir()
    _lay(folder, plan, read_text(root, OS_RELEASE), shop)
    lay_files(folder, package_manager_files(plan.image))
    for path, content in generated.items():
        write_bytes(folder, path, content)
    lines = read_text(root, _DIVERSIONS)
    for path in diverted(root, folder, plan.distribution.upstream_of(plan.image)):
        replaced = inside(root, path, follow=False)
        replaced.rename(replaced.with_name(f"{replaced.name}.upstream"))
        lines += f"{path}\n{path}.upstream\n:\n"  # dpkg-divert(1): a colon for the administrator's own
    write_text(root, _DIVERSIONS, lines)
    lay_tree(root, folder)
    make_users(root, plan.image.users, epoch=shop.epoch, sandbox=shop.sandbox)


def _fill_bare(root: Path, archive: Path, plan: SystemPlan, shop: Workshop) -> None:
    """What no script has done here is done, then the definition laid over."""
    lay_files(root, {**account_files(plan.image.users), **plan.carried})
    if bundle := certificate_bundle(archive):
        write_bytes(root, BUNDLE, bundle)
    if inside(root, UTC).exists():
        make_link(root, "etc/localtime", f"/{UTC}")
    for user in plan.image.users:
        if user.home != NO_HOME:
            home = make_folder(root, user.home)
            home.chmod(0o700)
            os.chown(home, user.uid, user.gid if user.gid is not None else user.uid)
    _lay(root, plan, read_text(root, OS_RELEASE), shop)


def _lay(root: Path, plan: SystemPlan, base: str, shop: Workshop) -> None:
    lay_definition(
        root,
        plan.image,
        distribution=plan.distribution,
        version=plan.version,
        architecture=shop.architecture,
        base=base,
    )
