# SPDX-License-Identifier: Apache-2.0
"""A unified kernel image taken apart, its command line changed, and put together again by the code that builds images.

Source of the sections: the UAPI group's specification "Unified Kernel Image".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.customiser.changes import ChangesFile
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.image.uki import join_uki
from zaffre.pe import sections
from zaffre.sandbox import Sandbox

_STUB = frozenset({".text", ".rodata", ".data", ".sbat", ".sdmagic", ".reloc"})
_PARTS = (".linux", ".initrd", ".osrel", ".cmdline", ".uname")
_FIXED = ("roothash=", "root=", "rootfstype=", "usrhash=", "systemd.verity_root_data=", "systemd.verity_root_hash=")


@dataclass(frozen=True)
class KernelImage:
    """What a kernel image was made of, in files of a folder; `command_line` in its words."""

    folder: Path
    command_line: tuple[str, ...]
    uname: str

    @property
    def root_hash(self) -> str | None:
        found = [word.removeprefix("roothash=") for word in self.command_line if word.startswith("roothash=")]
        return found[0] if len(found) == 1 else None

    @property
    def os_release(self) -> str:
        return (self.folder / "osrel").read_text("utf-8", "replace")


def take_apart(path: Path, folder: Path) -> KernelImage:
    """Write the image's parts to `folder`. Raises IntegrityError; DefinitionError for what would be lost."""
    found: dict[str, bytes] = {}
    for name, content in sections(path):
        if name in _STUB:
            continue
        if name not in _PARTS or name in found:
            raise DefinitionError(
                f"the kernel image has {'several sections' if name in found else 'a section'} {name}, "
                "which would be lost",
                where=path.name,
                resolution="customise an image whose kernel image has one profile and no further parts",
            )
        found[name] = content
    if missing := [name for name in _PARTS if name not in found]:
        raise IntegrityError(f"the kernel image lacks {', '.join(missing)}", where=path.name)
    folder.mkdir()
    for name in (".linux", ".initrd", ".osrel"):
        (folder / name[1:]).write_bytes(found[name])
    words = tuple(found[".cmdline"].decode("utf-8", "replace").rstrip("\0\n").split())
    return KernelImage(folder, words, found[".uname"].decode("ascii", "replace").rstrip("\0\n"))


def put_together(
    image: KernelImage, target: Path, *, words: Sequence[str], architecture: str, epoch: int, sandbox: Sandbox
) -> None:
    """Write `target`, which is to be signed."""
    join_uki(
        target,
        kernel=image.folder / "linux",
        kernel_version=image.uname,
        initrd=image.folder / "initrd",
        os_release=image.folder / "osrel",
        arguments=" ".join(words),
        architecture=architecture,
        epoch=epoch,
        sandbox=sandbox,
    )


def require_unsigned_root(image: KernelImage, *, where: str) -> None:
    """Raise DefinitionError for an image whose kernel wants the root hash signed: it would get another hash."""
    if any("root-hash-signature=" in word for word in image.command_line):
        raise DefinitionError(
            "the kernel of this image executes only what its owner has signed (IPE), and a changed root is not",
            where=where,
            resolution="change the image's definition, and build it with 'zaffre build'",
        )


def changed_words(words: Sequence[str], file: ChangesFile, *, root_hash: str | None = None) -> tuple[str, ...]:
    """The command line with the changes, and with another root hash. Raises DefinitionError for a change in vain."""
    wanted = file.changes.command_line
    kept = list(words)
    for key, arguments in (("remove", wanted.remove), ("add", wanted.add)):
        for number, argument in enumerate(arguments):
            where = f"command_line.{key}[{number}]"
            if argument.startswith(_FIXED):
                raise file.refuse(where, f"{argument} says which root is started", "leave it as it is")
            if key == "add":
                kept += argument.split()
            elif argument in kept:
                kept.remove(argument)
            else:
                raise file.refuse(where, f"the command line has no {argument}", f"it is: {' '.join(words)}")
    if root_hash is not None:
        kept = [f"roothash={root_hash}" if word.startswith("roothash=") else word for word in kept]
    return tuple(kept)
