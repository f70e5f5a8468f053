# SPDX-License-Identifier: Apache-2.0
"""The disk image: GPT, ESP, the verified root and its empty twin, written by systemd-repart without a loop device.

Labels and type UUIDs follow the Discoverable Partitions Specification; the UUIDs of the root and its
verity partition are the two halves of the root hash, as systemd-veritysetup-generator(8) wants them.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.image.repart import ROOT_TYPES, make_image
from zaffre.sandbox import Mount, Sandbox
from zaffre.slots import root_uuids, slot_label
from zaffre.store import allocated_size, require_room

_GPT_BYTES = 1 << 20
_LABEL_CHARACTERS = 36


@dataclass(frozen=True)
class DiskPlan:
    """Sizes in bytes; `name` and `version` label the root's partitions, so that an update can tell them apart."""

    architecture: str
    name: str
    version: str
    root_hash: str
    esp_bytes: int
    root_bytes: int
    verity_bytes: int
    var_bytes: int

    @property
    def total_bytes(self) -> int:
        """Apparent size: both slots, the ESP, and room for the smallest /var, which the first boot makes."""
        return self.esp_bytes + 2 * (self.root_bytes + self.verity_bytes) + self.var_bytes + 4 * _GPT_BYTES


def repart_definitions(plan: DiskPlan) -> dict[str, str]:
    """The repart.d files by name. Twins B have the size of A and the label that systemd-sysupdate takes as free."""
    root_type = ROOT_TYPES[plan.architecture]
    data_uuid, hash_uuid = root_uuids(plan.root_hash)
    label = partition_label(plan.name, plan.version)
    return {
        "10-esp.conf": _partition("esp", plan.esp_bytes, Label="esp", Format="vfat", CopyFiles="/esp:/"),
        "20-verity-a.conf": _partition(
            f"{root_type}-verity",
            plan.verity_bytes,
            Label=label,
            UUID=str(hash_uuid),
            CopyBlocks="/job/root.verity",
            ReadOnly="yes",
        ),
        "30-root-a.conf": _partition(
            root_type,
            plan.root_bytes,
            Label=label,
            UUID=str(data_uuid),
            CopyBlocks="/job/root.erofs",
            ReadOnly="yes",
        ),
        "40-verity-b.conf": _partition(f"{root_type}-verity", plan.verity_bytes, Label="_empty", ReadOnly="yes"),
        "50-root-b.conf": _partition(root_type, plan.root_bytes, Label="_empty", ReadOnly="yes"),
    }


def partition_label(name: str, version: str) -> str:
    """`<image>_<version>`, the same for root and verity tree, which their types tell apart.

    Raises DefinitionError for more than the 36 characters that GPT has (UEFI specification, 5.3.3): a label that is
    cut would lose the end of the version.
    """
    label = slot_label(name, version)
    if len(label) > _LABEL_CHARACTERS:
        raise DefinitionError(
            f"the partition label {label} has {len(label)} characters, and GPT has room for {_LABEL_CHARACTERS}",
            where=f"images/{name}.toml",
            resolution="give the image a shorter name, or the distribution a shorter version",
        )
    return label


def require_fit(plan: DiskPlan, *, root_size: int, verity_size: int, esp_size: int) -> None:
    """Raise DefinitionError when a payload does not fit its partition; two UKIs must fit the ESP for an update."""
    for key, size, room in (
        ("disk.root", root_size, plan.root_bytes),
        ("disk.verity", verity_size, plan.verity_bytes),
        ("disk.esp", esp_size, plan.esp_bytes),
    ):
        _require(room, size, key=key)


def write_disk(
    plan: DiskPlan, target: Path, *, esp: Path, root: Path, verity: Path, scratch: Path, epoch: int, sandbox: Sandbox
) -> None:
    """Write the raw, sparse image `target`; the same inputs give the same bytes. Raises DiskFullError."""
    require_room(target.parent, _GPT_BYTES + sum(allocated_size(path) for path in (esp, root, verity)))
    make_image(
        target,
        repart_definitions(plan),
        size=str(plan.total_bytes),
        seed=uuid.uuid5(uuid.NAMESPACE_OID, f"{plan.name} {plan.version} {plan.architecture} {plan.root_hash}"),
        mounts=[Mount(esp, "/esp"), Mount(root, "/job/root.erofs"), Mount(verity, "/job/root.verity")],
        scratch=scratch,
        epoch=epoch,
        sandbox=sandbox,
    )


@dataclass(frozen=True)
class ServerDisk:
    """Sizes in bytes. `name` labels the root: a type that is the same everywhere tells whose it is to nobody."""

    architecture: str
    name: str
    version: str
    esp_bytes: int
    root_bytes: int

    @property
    def total_bytes(self) -> int:
        return self.esp_bytes + self.root_bytes + 4 * _GPT_BYTES


def require_server_fit(disk: ServerDisk, *, esp_size: int) -> None:
    """Raise DefinitionError when the kernels that a server keeps do not fit its ESP."""
    _require(disk.esp_bytes, esp_size, key="disk.esp")


def write_server_disk(
    disk: ServerDisk, target: Path, *, esp: Path, root: Path, scratch: Path, epoch: int, sandbox: Sandbox
) -> None:
    """Write the raw, sparse image `target`; the same inputs give the same bytes. Raises DiskFullError."""
    require_room(target.parent, _GPT_BYTES + sum(allocated_size(path) for path in (esp, root)))
    definitions = {
        "10-esp.conf": _partition("esp", disk.esp_bytes, Label="esp", Format="vfat", CopyFiles="/esp:/"),
        "20-root.conf": _partition(
            ROOT_TYPES[disk.architecture],
            disk.root_bytes,
            Label=disk.name,
            CopyBlocks="/job/root.ext4",
            GrowFileSystem="yes",
        ),
    }
    make_image(
        target,
        definitions,
        size=str(disk.total_bytes),
        seed=uuid.uuid5(uuid.NAMESPACE_OID, f"{disk.name} {disk.version} {disk.architecture}"),
        mounts=[Mount(esp, "/esp"), Mount(root, "/job/root.ext4")],
        scratch=scratch,
        epoch=epoch,
        sandbox=sandbox,
    )


def _require(room: int, size: int, *, key: str) -> None:
    if size > room:
        raise DefinitionError(
            f"{size / 1e6:.1f} MB do not fit the partition of {room / 1e6:.1f} MB",
            where=key,
            resolution=f"raise {key}, or make the image smaller: `zaffre inventory` shows what takes the room",
        )


def _partition(kind: str, size: int, **settings: str) -> str:
    lines = ["[Partition]", f"Type={kind}", f"SizeMinBytes={size}", f"SizeMaxBytes={size}"]
    return "\n".join([*lines, *(f"{key}={value}" for key, value in settings.items())]) + "\n"
