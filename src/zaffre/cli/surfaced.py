# SPDX-License-Identifier: Apache-2.0
"""The root whose attack surface is looked at, wherever it comes from, and the kernel that starts it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from zaffre.cli.making import Making
    from zaffre.manifest import Manifest
    from zaffre.surface import KernelJudgement
    from zaffre.tree import Inventory
    from zaffre.upstream import LockedPackage

_SECONDS = 600.0


@dataclass(frozen=True)
class Looked:
    """A root and its inventory. `image` is the image that it is of; `packages` are those that it was made of, as far as
    the lock has them, by name.
    """

    title: str
    root: Path
    inventory: Inventory
    image: str | None = None
    packages: Mapping[str, LockedPackage] = field(default_factory=dict)


@contextmanager
def looked_at(making: Making, what: str, *, arch: str | None, profile: str) -> Iterator[Looked]:
    """What `zaffre surface` is asked to look at. Raises DefinitionError for what has no root."""
    from zaffre.manifest import MANIFEST_NAME
    from zaffre.tree.inventory import inventory_of

    work, path = making.work, Path(what)
    if (path / MANIFEST_NAME).is_file():
        with _built(making, path) as found:
            yield found
    elif what in work.distribution.images:
        with _of_image(making, what, arch=arch, profile=profile) as found:
            yield found
    elif (path / "usr").is_dir():
        with work.progress.step("read the root"):
            inventory = inventory_of(path)
        yield Looked(f"root {what}", path, inventory)
    else:
        raise DefinitionError(
            "there is no image of that name, and no folder with a build or a root file tree",
            where=what,
            resolution="`zaffre show` lists the images; of a root, name the folder that has usr/",
        )


@contextmanager
def _of_image(making: Making, name: str, *, arch: str | None, profile: str) -> Iterator[Looked]:
    """Of an image of the definition, within its budget or not: its root is made in the store, and no disk of it."""
    from zaffre.definition import Architecture
    from zaffre.image import Order
    from zaffre.tree.inventory import inventory_of
    from zaffre.tree.restore import extract_root

    work = making.work
    image = work.distribution.image(name)
    machine = str(work.distribution.architecture_for(image, arch))
    blob = making.builder.tree(Order(image=name, architecture=machine, profile=profile, out=Path()))
    with work.store.scratch("surface") as scratch:
        root = scratch / "root"
        with work.progress.step("read the root"):
            extract_root(work.store.path(blob), root)
            inventory = inventory_of(
                root,
                command_line=image.kernel_arguments(Architecture(machine)),
                trees={tree: work.distribution.path(tree) for tree in image.files.trees},
            )
        title = f"{name} {making.builder.version} ({machine}, {profile})"
        packages = making.lock.set(name, machine).packages
        yield Looked(title, root, inventory, name, {one.name: one for one in packages})


@contextmanager
def _built(making: Making, folder: Path) -> Iterator[Looked]:
    """Of a host's build, with the inventory that its manifest vouches for."""
    from zaffre.advisory.subjects.build import read_inventory, read_manifest
    from zaffre.sandbox import Mount

    manifest = read_manifest(folder)
    inventory = read_inventory(folder, manifest)
    if inventory is None or manifest.kind != "host":
        raise DefinitionError(
            f"the root of a built {manifest.kind} is not read here",
            where=str(folder),
            resolution="name the image instead: its root is made again from the store; or the top of an unpacked root",
        )
    work = making.work
    with work.store.scratch("surface") as scratch:
        root = scratch / "root"
        root.mkdir()
        with work.progress.step("unpack the root"):
            making.sandbox.run(
                ["fsck.erofs", "--extract=/run/root", "--overwrite", "/run/build/root.erofs"],
                mounts=[Mount(folder.resolve(), "/run/build"), Mount(root, "/run/root", writable=True)],
                timeout=_SECONDS,
            )
        title = f"{manifest.image} {manifest.version} ({manifest.architecture}, {manifest.profile})"
        image = manifest.image if manifest.image in work.distribution.images else None
        yield Looked(title, root, inventory, image, _still_locked(making, manifest))


def _still_locked(making: Making, manifest: Manifest) -> Mapping[str, LockedPackage]:
    """Those of a build's packages that the lock has, bit for bit."""
    locked = {one.sha256: one for part in making.lock.sets for one in part.packages}
    return {one.name: locked[one.sha256] for one in manifest.packages if one.sha256 in locked}


def judged_kernel(making: Making, looked: Looked) -> KernelJudgement | None:
    """None for a root without a kernel, and, with a remark, where how it was built is not known."""
    from zaffre.surface.kernel import judge_kernel
    from zaffre.surface.kernelconfig import config_in

    work, inventory = making.work, looked.inventory
    if not inventory.kernels:
        return None
    version = inventory.kernels[-1]
    with work.store.scratch("kernel") as scratch, work.progress.step("judge the kernel") as remark:
        config = config_in(looked.root, version) or _packaged_config(making, looked, version, scratch)
        if config is None:
            remark(f"not judged: the configuration of {version} is not in the root, nor its package in the lock")
            return None
        text = config.read_text("utf-8", "replace")
        found = judge_kernel(text, command_line=inventory.command_line, settings=inventory.sysctl)
        remark(f"not judged: {config.name} is no configuration" if found is None else f"{found.checks} checks")
    return found


def _packaged_config(making: Making, looked: Looked, version: str, scratch: Path) -> Path | None:
    """Out of the package that the kernel's modules are of: an image itself has no use for it."""
    from zaffre.surface.kernelconfig import config_names
    from zaffre.tree import package_files

    modules = f"/usr/lib/modules/{version}/"
    owners = {one.package for one in looked.inventory.content if one.package and one.path.startswith(modules)}
    packages: Sequence[LockedPackage] = [looked.packages[name] for name in sorted(owners & looked.packages.keys())]
    if not packages or looked.image is None:
        return None
    distribution = making.work.distribution
    making.fetch(packages)
    found = package_files(
        packages,
        upstream=distribution.upstream_of(distribution.image(looked.image)),
        store=making.work.store,
        sandbox=making.sandbox,
        progress=making.work.progress,
    )
    for package in found.values():
        for name in config_names(version):
            if name in package.files:
                package.take(f"/{name}", scratch / "config", key=version)
                return scratch / "config"
    return None
