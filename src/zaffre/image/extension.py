# SPDX-License-Identifier: Apache-2.0
"""A system extension: files of our own, files out of packages, and container images, sealed and signed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition import Distribution, Image, tree_digest
from zaffre.digest import Sha256, sha256_file
from zaffre.image.oci import write_oci_archive
from zaffre.image.output import place
from zaffre.image.policy import Labels
from zaffre.image.python import agent_digest, compile_python, lay_agent, name_libraries
from zaffre.image.seal import Compression, make_erofs
from zaffre.image.steps import Workshop, code_digest
from zaffre.image.sysext import extension_release, write_sysext
from zaffre.image.uki import SigningKeys
from zaffre.store import Action, ActionResult
from zaffre.tree import package_files
from zaffre.tree.contents import PackageFiles
from zaffre.upstream import LockedPackage

_OCI_FOLDER = "usr/share/zaffre/oci"
_ROOTS = "usr/share/zaffre/rootfs"
# What a container runtime mounts over, which it cannot make in a file system that is not to be written to.
_MOUNT_FOLDERS = ("dev", "etc", "proc", "run", "sys", "tmp")
_MOUNT_FILES = ("etc/hostname", "etc/hosts", "etc/resolv.conf")
_UNITS = ("usr/lib/systemd/system", "etc/systemd/system")
_RELOAD = "EXTENSION_RELOAD_MANAGER=1\n"
"""systemd-sysext(8): the service manager looks at its units again once this is merged."""


@dataclass(frozen=True)
class HostTraits:
    """What an extension takes from its host: labels, if that has SELinux, and by which key it is signed."""

    labels: Labels | None = None
    ipe: bool = False

    def signer(self, keys: SigningKeys) -> tuple[Path, Path]:
        """Private key and certificate. With IPE, it has to be one that the kernel knows."""
        return (keys.db_key, keys.db_certificate) if self.ipe else (keys.verity_key, keys.verity_certificate)


PLAIN = HostTraits()


def build_extension(
    distribution: Distribution,
    image: Image,
    packages: Sequence[LockedPackage],
    shop: Workshop,
    *,
    host: HostTraits = PLAIN,
) -> Sha256:
    """The blob of the signed extension image. `packages` is the locked set; only named files of it are used. `host` is
    what the host that it is laid over asks of it.
    """
    _, certificate = host.signer(shop.keys)
    wanted = {one.package for one in image.extract} | {one.package for one in image.oci}
    chosen = {package.name: package for package in packages if package.name in wanted}
    action = Action(
        kind="sysext",
        label=f"extension {image.name}",
        inputs={
            "name": image.name,
            "kind": image.kind,
            "architecture": shop.architecture,
            "packages": {name: package.sha256 for name, package in chosen.items()},
            "extract": [entry.model_dump(mode="json") for entry in image.extract],
            "oci": [entry.model_dump(mode="json") for entry in image.oci],
            "trees": [[tree, tree_digest(distribution.path(tree))] for tree in image.files.trees],
            "identity": distribution.identity.model_dump(mode="json"),
            "agent": agent_digest() if image.agent else None,
            "labels": host.labels.digest if host.labels else None,
            "certificate": sha256_file(certificate),
            "epoch": shop.epoch,
            "tools": shop.sandbox.tools.key,
            "code": code_digest(),
        },
        reason="an extension is laid over a host without changing it",
    )

    def produce(scratch: Path) -> ActionResult:
        tree = scratch / "tree"
        tree.mkdir()
        for source in image.files.trees:
            shutil.copytree(distribution.path(source), tree, symlinks=True, dirs_exist_ok=True)
        contents = package_files(
            tuple(chosen.values()),
            upstream=distribution.upstream_of(image),
            store=shop.store,
            sandbox=shop.sandbox,
            progress=shop.progress,
        )
        for number, entry in enumerate(image.extract):
            for index, path in enumerate(entry.paths):
                key = f"extract[{number}].paths[{index}]"
                package = contents[entry.package]
                for one in package.matching(path, entry.without, key=key):
                    package.take(one, tree / one.lstrip("/"), key=key)
        name_libraries(tree)
        if image.agent:
            lay_agent(tree)
        compile_python(tree, scratch, shop.sandbox)
        _write_containers(image, contents, tree, scratch, shop)
        name, text = extension_release(
            image.name, kind=image.kind, distribution=distribution.identity.id, version=distribution.identity.version
        )
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text + (_RELOAD if any((tree / units).is_dir() for units in _UNITS) else ""))
        _normalise(tree)
        return ActionResult({"extension": shop.store.add_file(_seal(image, tree, scratch, shop, host), move=True)}, {})

    return shop.perform("extension", action, produce).outputs["extension"]


def place_extension(blob: Sha256, folder: Path, shop: Workshop) -> int:
    place(shop.store.verified(blob), folder / "extension.raw")
    return (folder / "extension.raw").stat().st_size


def _write_containers(
    image: Image, contents: Mapping[str, PackageFiles], tree: Path, scratch: Path, shop: Workshop
) -> None:
    for number, entry in enumerate(image.oci):
        folder = scratch / f"oci-{entry.name}"
        files: dict[str, Path] = {}
        for index, path in enumerate(entry.paths):
            files[path] = folder / path.lstrip("/")
            contents[entry.package].take(path, files[path], key=f"oci[{number}].paths[{index}]")
        target = tree / _OCI_FOLDER / f"{entry.name}.tar"
        target.parent.mkdir(parents=True, exist_ok=True)
        write_oci_archive(
            target,
            reference=entry.ref,
            files=files,
            command=entry.command,
            architecture=shop.architecture,
            epoch=shop.epoch,
        )
        if entry.unpacked:
            _unpack(files, tree / _ROOTS / entry.name)


def _unpack(files: Mapping[str, Path], root: Path) -> None:
    """The root of a container, as files."""
    for name in _MOUNT_FOLDERS:
        (root / name).mkdir(parents=True)
    for name in _MOUNT_FILES:
        (root / name).touch()
    for path, source in files.items():
        target = root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)


def _normalise(tree: Path) -> None:
    """Modes come from the executable bit alone, owners are root: nothing of the building user gets in."""
    for path in (tree, *tree.rglob("*")):
        if path.is_symlink():
            os.chown(path, 0, 0, follow_symlinks=False)
            continue
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.chown(path, 0, 0)


def _seal(image: Image, tree: Path, scratch: Path, shop: Workshop, host: HostTraits) -> Path:
    key, certificate = host.signer(shop.keys)
    data, target = scratch / "data.erofs", scratch / "extension.raw"
    make_erofs(
        tree,
        data,
        compression=Compression("zstd,level=3", 65536),
        epoch=shop.epoch,
        label=image.name,
        sandbox=shop.sandbox,
        labels=host.labels.files(shop) if host.labels else None,
    )
    write_sysext(
        target,
        name=image.name,
        erofs=data,
        architecture=shop.architecture,
        key=key,
        certificate=certificate,
        scratch=scratch,
        epoch=shop.epoch,
        sandbox=shop.sandbox,
    )
    return target
