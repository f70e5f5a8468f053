# SPDX-License-Identifier: Apache-2.0
"""A sealed image read back: what its signed kernel image vouches for is verified before anything of it is used.

Partitions are read where they lie in the image; nothing is mounted. Source of erofs' super block: fs/erofs/erofs_fs.h
of the kernel.
"""

from __future__ import annotations

import os
import shutil
import struct
from dataclasses import dataclass
from pathlib import Path

from zaffre.authenticode import Signed
from zaffre.customiser.kernel import KernelImage, take_apart
from zaffre.customiser.source import Source, has_erofs
from zaffre.errors import DefinitionError, IntegrityError, ToolError
from zaffre.image.uki import boot_loader_path
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree import scan
from zaffre.trust.extension import partition_uuids, require_root_hash
from zaffre.trust.gpt import Partition

KERNELS = "EFI/Linux"

_SECONDS = 1800.0
_CHUNK = 4 << 20
_SUPER = struct.Struct("<IIIBBHQQIIII16s16sIH")
_SUPER_AT = 1024
_BLOCK_BITS = 12
_ALGORITHMS = ("lz4", "lzma", "deflate", "zstd")


@dataclass(frozen=True)
class ErofsFacts:
    """What the file system says of how it was made: `size` in bytes, `epoch` in seconds, `algorithm` "" for none."""

    size: int
    epoch: int
    label: str
    algorithm: str


@dataclass(frozen=True)
class SystemPartition:
    """The ESP's content in a folder; the one kernel image and the boot loader by their paths in it."""

    folder: Path
    kernel: str
    loader: str


@dataclass(frozen=True)
class Unpacked:
    """A sealed image, verified. `data` and `tree` are the partitions that it starts from."""

    source: Source
    esp: SystemPartition
    kernel: KernelImage
    root_hash: str
    data: Partition
    tree: Partition
    erofs: ErofsFacts


def unpack_sealed(source: Source, scratch: Path, *, sandbox: Sandbox) -> Unpacked:
    """Verify a sealed image and read all but its root, into `scratch`.

    Raises IntegrityError where the image is not what was signed, DefinitionError where it is of another make.
    """
    esp = read_esp(source, scratch / "esp", sandbox=sandbox)
    kernel = take_apart(esp.folder / esp.kernel, scratch / "kernel")
    if kernel.root_hash is None:
        raise DefinitionError(
            "its kernel image names no root hash, so it is not sealed as Zaffre seals",
            where=str(source.path),
            resolution="take an image that Zaffre made",
        )
    root_hash = require_root_hash(kernel.root_hash)
    by_uuid = {one.uuid: one for one in (*source.root, *source.verity)}
    data, tree = (by_uuid.get(identity) for identity in partition_uuids(root_hash))
    if data is None or tree is None or not has_erofs(source.path, data):
        raise IntegrityError(
            "the kernel image names a root that the image does not have",
            where=str(source.path),
            details=f"roothash={root_hash}",
            resolution="take the image from where it came from again",
        )
    erofs = erofs_facts(source.path, data)
    root, hashes = scratch / "old.erofs", scratch / "old.verity"
    cut(source.path, data.offset, erofs.size, root)
    cut(source.path, tree.offset, tree.size, hashes)
    _require_sealed(source, root, hashes, root_hash, sandbox)
    hashes.unlink()
    return Unpacked(source, esp, kernel, root_hash, data, tree, erofs)


def read_esp(source: Source, folder: Path, *, sandbox: Sandbox) -> SystemPartition:
    """Copy the ESP to `folder`. Raises DefinitionError unless it has one kernel image and a loader; IntegrityError."""
    copy_esp(source, folder, sandbox=sandbox)
    kernels = sorted(path.name for path in (folder / KERNELS).glob("*.efi"))
    loader = boot_loader_path(source.architecture or "amd64")
    if len(kernels) != 1 or not (folder / loader).is_file():
        raise DefinitionError(
            f"the EFI system partition has {len(kernels)} unified kernel images"
            f"{'' if (folder / loader).is_file() else ' and no boot loader for them'}, and one is needed",
            where=str(source.path),
            resolution="take an image as it was built, not one of a machine that was updated",
        )
    found = SystemPartition(folder, f"{KERNELS}/{kernels[0]}", loader)
    for name in (found.kernel, found.loader):
        Signed(folder / name).require_whole()
    return found


def copy_esp(source: Source, folder: Path, *, sandbox: Sandbox) -> None:
    """Copy the ESP to `folder`, which is made. Raises DefinitionError if there is none; IntegrityError."""
    if source.esp is None:
        raise DefinitionError(
            "the image has no EFI system partition", where=str(source.path), resolution="take an image for UEFI"
        )
    folder.mkdir()
    try:
        sandbox.run(
            ["mcopy", "-s", "-n", "-Q", "-m", "-i", f"/job/image@@{source.esp.offset}", "::/*", "/job/esp/"],
            mounts=[Mount(source.path.resolve(), "/job/image"), Mount(folder, "/job/esp", writable=True)],
            timeout=_SECONDS,
        )
    except ToolError as error:
        raise IntegrityError(
            "the EFI system partition can't be read", where=str(source.path), details=error.details
        ) from error


def erofs_facts(path: Path, partition: Partition) -> ErofsFacts:
    """Raises IntegrityError for a super block that can't be."""
    with path.open("rb") as file:
        file.seek(partition.offset + _SUPER_AT)
        fields = _SUPER.unpack(file.read(_SUPER.size))
    bits, epoch, blocks, label, algorithms = fields[3], fields[7], fields[9], fields[13], fields[15]
    size = blocks << bits
    if bits != _BLOCK_BITS or not 0 < size <= partition.size:
        raise IntegrityError("the root's super block is damaged", where=str(path))
    names = [name for number, name in enumerate(_ALGORITHMS) if algorithms >> number & 1]
    return ErofsFacts(size, epoch, label.rstrip(b"\0").decode("utf-8", "replace"), names[0] if names else "")


def extract_erofs(image: Path, root: Path, *, sandbox: Sandbox) -> None:
    """Write the tree in `image` to `root`, which is made: owners, modes, links, extended attributes.

    fsck.erofs 1.8 sets attributes before owners, at which the kernel takes capabilities away (chown(2)). So the
    attributes come from a second tree, which is extracted without owners beside the first and removed.
    """
    bare = root.with_name(f"{root.name}.attributes")
    _extract(image, root, "--preserve", sandbox=sandbox)
    _extract(image, bare, "--no-preserve", sandbox=sandbox)
    for node in scan(bare):
        for name, value in node.xattrs:
            os.setxattr(root / node.path, name, value, follow_symlinks=False)
    shutil.rmtree(bare)


def extract_files(image: Path, root: Path, *, sandbox: Sandbox) -> None:
    """Write what is in the files of `image`, to be read, to `root`, which is made."""
    _extract(image, root, "--no-preserve", sandbox=sandbox)


def _extract(image: Path, root: Path, *options: str, sandbox: Sandbox) -> None:
    root.mkdir()
    sandbox.run(
        ["fsck.erofs", "--extract=/job/tree", "--overwrite", *options, "--xattrs", "/job/root.erofs"],
        mounts=[Mount(image, "/job/root.erofs"), Mount(root, "/job/tree", writable=True)],
        timeout=_SECONDS,
        fatal=("<E> ",),
    )


def cut(image: Path, offset: int, size: int, target: Path) -> None:
    """Copy a piece of a file; zeros become holes."""
    with image.open("rb") as source, target.open("wb") as sink:
        source.seek(offset)
        sink.truncate(size)
        while size and (chunk := source.read(min(_CHUNK, size))):
            if chunk.strip(b"\0"):
                sink.write(chunk)
            else:
                sink.seek(len(chunk), 1)
            size -= len(chunk)
    if size:
        raise IntegrityError("the image ends before its partitions do", where=str(image))


def _require_sealed(source: Source, root: Path, hashes: Path, root_hash: str, sandbox: Sandbox) -> None:
    try:
        sandbox.run(
            ["veritysetup", "verify", "/job/root", "/job/hashes", root_hash],
            mounts=[Mount(root, "/job/root"), Mount(hashes, "/job/hashes")],
            timeout=_SECONDS,
        )
    except ToolError as error:
        raise IntegrityError(
            "the root is damaged: its blocks are not under the root hash that the kernel image names",
            where=str(source.path),
            details=error.details,
            resolution="take the image from where it came from again",
        ) from error
