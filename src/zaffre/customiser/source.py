# SPDX-License-Identifier: Apache-2.0
"""A ready image, looked at before anything is done with it: what it is, and in words what it is not.

Only read. Sources of the signatures: qemu's docs/interop for QCOW2, VHDX and VMDK; RFC 1952 (gzip), the xz and zstd
formats; cryptsetup's LUKS2 specification; the ext4 documentation of the kernel (super block at 1024, magic at 56).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from pydantic import ValidationError

from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.store import hash_file
from zaffre.trust.gpt import ESP, SECTOR, Partition, read_partitions

_OTHER_FORMS = {
    b"QFI\xfb": "a QCOW2 image",
    b"KDMV": "a VMDK image",
    b"# Disk Descriptor": "a VMDK image",
    b"vhdxfile": "a VHDX image",
    b"conectix": "a VHD image",
    b"\x1f\x8b": "compressed by gzip",
    b"\xfd7zXZ\0": "compressed by xz",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"BZh": "compressed by bzip2",
    b"PK\x03\x04": "a ZIP archive",
}
_LUKS = (b"LUKS\xba\xbe", b"SKUL\xba\xbe")
_EXT4 = (1024 + 56, b"\x53\xef")
_EROFS = (1024, b"\xe2\xe1\xf5\xe0")
_LINUX_DATA = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
_MAX_MANIFEST = 64 << 20


@dataclass(frozen=True)
class _Types:
    """Partition types of an architecture (Discoverable Partitions Specification)."""

    root: uuid.UUID
    verity: uuid.UUID


_ARCHITECTURES = {
    "amd64": _Types(
        uuid.UUID("4f68bce3-e8cd-4db1-96e7-fbcaf984b709"), uuid.UUID("2c7357ed-ebd2-46d9-aec1-23d437ec2bf5")
    ),
    "arm64": _Types(
        uuid.UUID("b921b045-1df0-41c3-af44-4c6f280d3fae"), uuid.UUID("df3300ce-d69f-4c92-978c-9bfb0f38d820")
    ),
}


class Form(StrEnum):
    """SEALED: a root that only its signed kernel image vouches for. WRITABLE: an ext4 root."""

    SEALED = "sealed"
    WRITABLE = "writable"


@dataclass(frozen=True)
class Source:
    """An image that can be customised. `root` are the root's partitions: both slots of a sealed one, else one.

    `manifest` is that of the build that the image lies in, if it lies in one; the image then is what that names.
    """

    path: Path
    form: Form
    architecture: str
    size: int
    sha256: Sha256
    esp: Partition | None
    root: tuple[Partition, ...]
    verity: tuple[Partition, ...]
    manifest: Manifest | None


def read_source(path: Path) -> Source:
    """Look at an image. Raises DefinitionError for what can't be customised, IntegrityError for what is damaged."""
    if not path.is_file():
        raise DefinitionError("there is no such image", where=str(path), resolution="name the file of a raw disk image")
    _require_raw(path)
    partitions = read_partitions(path)
    esps = [one for one in partitions if one.type == ESP]
    if len(esps) > 1:
        raise _unknown(path, f"it has {len(esps)} EFI system partitions")
    form, architecture, root, verity = _roots(path, partitions)
    for one in root:
        _require_plain(path, one)
    sha256 = hash_file(path)
    return Source(
        path=path,
        form=form,
        architecture=architecture,
        size=path.stat().st_size,
        sha256=sha256,
        esp=esps[0] if esps else None,
        root=root,
        verity=verity,
        manifest=_manifest(path, sha256),
    )


def _require_raw(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(SECTOR)
    if start.startswith(_LUKS):
        raise _encrypted(path, "the disk")
    for signature, what in _OTHER_FORMS.items():
        if start.startswith(signature):
            raise DefinitionError(
                f"the file is {what}, and only raw disk images can be customised",
                where=str(path),
                resolution="unpack it first, or convert it: `qemu-img convert -O raw IMAGE image.raw`",
            )


def _roots(
    path: Path, partitions: tuple[Partition, ...]
) -> tuple[Form, str, tuple[Partition, ...], tuple[Partition, ...]]:
    for architecture, types in _ARCHITECTURES.items():
        roots = tuple(one for one in partitions if one.type == types.root)
        verity = tuple(one for one in partitions if one.type == types.verity)
        if verity:
            return Form.SEALED, architecture, roots, verity
        if roots:
            return Form.WRITABLE, architecture, _only(path, roots), ()
    # Images from before the specification have a root of no type of its own.
    data = tuple(one for one in partitions if one.type == _LINUX_DATA)
    if not data:
        raise _unknown(path, "it has no root partition (Discoverable Partitions Specification), and none of Linux data")
    return Form.WRITABLE, "", _only(path, data), ()


def _only(path: Path, roots: tuple[Partition, ...]) -> tuple[Partition, ...]:
    if len(roots) != 1:
        raise _unknown(path, f"it has {len(roots)} partitions that could be its root")
    return roots


def _require_plain(path: Path, partition: Partition) -> None:
    with path.open("rb") as file:
        file.seek(partition.offset)
        start = file.read(4096)
    if start.startswith(_LUKS):
        raise _encrypted(path, f"the partition {partition.label!r}")


def has_ext4(path: Path, partition: Partition) -> bool:
    return _has(path, partition, _EXT4)


def has_erofs(path: Path, partition: Partition) -> bool:
    return _has(path, partition, _EROFS)


def _has(path: Path, partition: Partition, magic: tuple[int, bytes]) -> bool:
    with path.open("rb") as file:
        file.seek(partition.offset + magic[0])
        return file.read(len(magic[1])) == magic[1]


def _manifest(path: Path, sha256: Sha256) -> Manifest | None:
    beside = path.with_name(MANIFEST_NAME)
    if not beside.is_file():
        return None
    with beside.open("rb") as file:
        data = file.read(_MAX_MANIFEST)
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError:
        return None
    named = manifest.artifacts.get(path.name)
    if named is None:
        return None
    if named.sha256 != sha256:
        raise IntegrityError(
            "the image is not the one that the manifest beside it names",
            where=str(path),
            details=f"sha256 is {sha256}, the manifest says {named.sha256}",
            resolution="take the image from where it came from again; `zaffre verify` says what else does not hold",
        )
    return manifest


def _encrypted(path: Path, what: str) -> DefinitionError:
    return DefinitionError(
        f"{what} is encrypted (LUKS), so nothing in it can be read",
        where=str(path),
        resolution="customise the image before it is encrypted",
    )


def _unknown(path: Path, why: str) -> DefinitionError:
    return DefinitionError(
        f"the image can't be customised: {why}",
        where=str(path),
        resolution="take an image that Zaffre made, or one with a GUID partition table and one ext4 root",
    )


def require_ext4(source: Source) -> Partition:
    """The root of a writable image. Raises DefinitionError where it is another file system."""
    (root,) = source.root
    if not has_ext4(source.path, root):
        raise _unknown(source.path, "its root is not an ext4 file system")
    return root
