# SPDX-License-Identifier: Apache-2.0
"""The last step of a sealed image: signed files, root and hash tree become a disk and its manifest.

What that takes is a value that can be written down, so that days may pass between sealing and this step while somebody
signs elsewhere. The disk is written by the code that builds images.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from zaffre.customiser.report import ToSign
from zaffre.customiser.source import Source
from zaffre.digest import EMPTY, Sha256, sha256_json
from zaffre.image import disk
from zaffre.image.output import ManifestSigner, describe_artifacts, write_manifest
from zaffre.manifest import MANIFEST_NAME, Customised, Manifest, PackageFact
from zaffre.manifest import Report as BuildReport
from zaffre.measured.prediction import predict, write_prediction
from zaffre.sandbox import Sandbox
from zaffre.store import Stopwatch

IMAGE, ROOT, HASHES, KERNEL, INVENTORY = "image.raw", "root.erofs", "root.verity", "uki.efi", "inventory.json"

_IN_ESP = r"^EFI/[A-Za-z]+/[A-Za-z0-9_][A-Za-z0-9._+~-]*$"


class Layout(BaseModel):
    """Sizes in bytes, as the image had them or as the changes have it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    esp: int
    root: int
    verity: int
    var: int


class Facts(BaseModel):
    """What the manifest of a customised image says: `root_hash` is empty for one that is not sealed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    architecture: str
    name: str
    version: str
    root_hash: str = ""
    epoch: int
    profile: str
    debug: bool
    definition: str
    lock: str
    tools: str
    packages: list[PackageFact]
    customised: Customised


class Assembly(Facts):
    """All of a sealed image that is not in its files. `kernel` and `loader` are paths in the ESP."""

    layout: Layout
    kernel: str = Field(pattern=_IN_ESP)
    loader: str = Field(pattern=_IN_ESP)
    to_sign: tuple[ToSign, ...] = ()
    files: Mapping[str, str] = {}
    """SHA-256 of the files that wait with it for their signatures."""

    @property
    def plan(self) -> disk.DiskPlan:
        return disk.DiskPlan(
            architecture=self.architecture,
            name=self.name,
            version=self.version,
            root_hash=self.root_hash,
            esp_bytes=self.layout.esp,
            root_bytes=self.layout.root,
            verity_bytes=self.layout.verity,
            var_bytes=self.layout.var,
        )


def require_fit(assembly: Assembly, folder: Path, *, kernel: Path) -> None:
    """Raise DefinitionError where a part does not fit its partition."""
    disk.require_fit(
        assembly.plan,
        root_size=(folder / ROOT).stat().st_size,
        verity_size=(folder / HASHES).stat().st_size,
        esp_size=2 * kernel.stat().st_size,
    )


def assemble(
    assembly: Assembly, folder: Path, *, esp: Path, loader: Path, certificate: Path, scratch: Path, sandbox: Sandbox
) -> None:
    """Write the disk image to `folder`, which has the other files, and what a machine will measure of it. `esp` is all
    that belongs on the ESP besides; kernel image and `loader` are signed with the key of `certificate`.
    """
    predicted = predict(
        folder / KERNEL,
        loader=loader,
        certificate=certificate,
        image=assembly.name,
        version=assembly.version,
        architecture=assembly.architecture,
    )
    write_prediction(folder, predicted)
    staged = scratch / "staged"
    shutil.copytree(esp, staged, symlinks=False)
    for source, name in ((folder / KERNEL, assembly.kernel), (loader, assembly.loader)):
        target = staged / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    for path in (staged, *staged.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (assembly.epoch, assembly.epoch))
    require_fit(assembly, folder, kernel=folder / KERNEL)
    disk.write_disk(
        assembly.plan,
        folder / IMAGE,
        esp=staged,
        root=folder / ROOT,
        verity=folder / HASHES,
        scratch=scratch,
        epoch=assembly.epoch,
        sandbox=sandbox,
    )


def facts_of(source: Source, *, name: str, version: str, debug: bool, epoch: int, changes: Sha256, tools: str) -> Facts:
    """What the image's own manifest says, where it lies beside one; else as little as can be known."""
    manifest = source.manifest
    return Facts(
        architecture=source.architecture or "unknown",
        name=manifest.image if manifest else name,
        version=manifest.version if manifest else version,
        epoch=epoch,
        profile=manifest.profile if manifest else "unknown",
        debug=manifest.debug if manifest else debug,
        definition=manifest.definition if manifest else EMPTY,
        lock=manifest.lock if manifest else EMPTY,
        tools=tools,
        packages=manifest.packages if manifest else [],
        customised=Customised(image=source.sha256, changes=changes),
    )


def finish(facts: Facts, folder: Path, signer: ManifestSigner | None, watch: Stopwatch, *, kind: str) -> None:
    """Write the manifest of all that is in `folder`, and its signature if there is who signs."""
    manifest = Manifest(
        image=facts.name,
        kind=kind,
        version=facts.version,
        architecture=facts.architecture,
        profile=facts.profile,
        debug=facts.debug,
        definition=facts.definition,
        lock=facts.lock,
        tools=facts.tools,
        epoch=facts.epoch,
        root_hash=facts.root_hash or None,
        artifacts=describe_artifacts(folder),
        packages=facts.packages,
        customised=facts.customised,
        build=BuildReport(
            key=sha256_json(facts.model_dump(mode="json")),
            steps=[],
            wall_seconds=round(watch.wall, 3),
            cpu_seconds=round(watch.cpu, 3),
            peak_memory_bytes=0,
        ),
    )
    if signer is not None:
        write_manifest(folder, manifest, signer)
    else:
        text = manifest.model_dump_json(indent=1, exclude_none=True).encode() + b"\n"
        (folder / MANIFEST_NAME).write_bytes(text)
