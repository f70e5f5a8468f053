# SPDX-License-Identifier: Apache-2.0
"""How programs and libraries are hardened, read out of their ELF headers (elf(5), ld(1): -z relro, -z now, -pie).

What counts is in the headers: position independence (ET_DYN), PT_GNU_RELRO with immediate binding, a PT_GNU_STACK that
is not executable. Stack protectors and checked functions of libc are counted where the names of their helpers are
imported; a program that has nothing to protect has none, so their absence is told and is no fault.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from posixpath import dirname, normpath

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSegment
from elftools.elf.elffile import ELFFile
from pydantic import BaseModel, ConfigDict

from zaffre.tree.rootfs import walk

_MAGIC = b"\x7fELF"
_EXECUTABLE = 1
_NOW = 0x8
_NOW_1 = 0x1
_PIE_1 = 0x08000000
_ORIGIN = re.compile(r"\$(?:ORIGIN\b|\{ORIGIN\})")
_OF_ROOT = ("/usr/", "/lib")


class Binary(BaseModel):
    """One file. `program`: it is started, and not only loaded; `relro` is "full", "partial" or "none".

    `canary` and `fortified`: it calls the helpers of stack protectors, and checked functions of libc.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str
    program: bool
    pie: bool
    relro: str
    stack: bool
    canary: bool
    fortified: bool
    run_path: tuple[str, ...] = ()

    @property
    def lacks(self) -> tuple[str, ...]:
        """What it should have, and has not. A library is bound lazily by habit, so its relocations may be partly so."""
        found = []
        if not self.pie:
            found.append("position independence")
        if self.relro == "none" or (self.program and self.relro != "full"):
            found.append("full read-only relocations" if self.relro == "partial" else "read-only relocations")
        if not self.stack:
            found.append("a stack that does not execute")
        if not all(_only_root_writes(one, self.path) for one in self.run_path):
            found.append("a search path that only root can write")
        return tuple(found)


class Hardening(BaseModel):
    """All ELF files of a root, and how many have what; `lacking` are those that lack something, and `unreadable` those
    whose headers can't be read.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: int
    pie: int
    full_relro: int
    stack: int
    canary: int
    fortified: int
    lacking: tuple[Binary, ...]
    unreadable: tuple[str, ...]


def hardening_of(root: Path) -> Hardening:
    """Read every program and library of a root file tree. Kernel modules and objects that are not linked are none."""
    found: list[Binary] = []
    unreadable: list[str] = []
    for path in _candidates(root):
        try:
            one = read_binary(root / path, f"/{path}")
        except (ELFError, ValueError, OverflowError, UnicodeDecodeError, AttributeError, KeyError):
            unreadable.append(f"/{path}")
            continue
        if one is not None:
            found.append(one)
    return Hardening(
        files=len(found),
        pie=sum(one.pie for one in found),
        full_relro=sum(one.relro == "full" for one in found),
        stack=sum(one.stack for one in found),
        canary=sum(one.canary for one in found),
        fortified=sum(one.fortified for one in found),
        lacking=tuple(one for one in found if one.lacks),
        unreadable=tuple(unreadable),
    )


def read_binary(place: Path, path: str) -> Binary | None:
    """None for what is no linked ELF file. Raises ELFError for one that is damaged."""
    with place.open("rb") as file:
        if file.read(4) != _MAGIC:
            return None
        file.seek(0)
        elf = ELFFile(file)
        kind = elf.header["e_type"]
        if kind not in {"ET_EXEC", "ET_DYN"}:
            return None
        segments = {segment["p_type"]: segment for segment in elf.iter_segments()}
        dynamic = next((one for one in elf.iter_segments() if isinstance(one, DynamicSegment)), None)
        flags = dict[str, int]()
        run_path: list[str] = []
        names: frozenset[str] = frozenset()
        if dynamic is not None:
            for tag in dynamic.iter_tags():
                if tag.entry.d_tag in {"DT_FLAGS", "DT_FLAGS_1", "DT_BIND_NOW"}:
                    flags[tag.entry.d_tag] = int(tag.entry.d_val)
                elif tag.entry.d_tag in {"DT_RUNPATH", "DT_RPATH"}:
                    value = tag.runpath if tag.entry.d_tag == "DT_RUNPATH" else tag.rpath  # type: ignore[attr-defined]
                    # The loader does without a whole path that is empty; an empty part is the current folder.
                    run_path += str(value).split(":") if value else []
            names = frozenset(_imported(elf))
        now = "DT_BIND_NOW" in flags or flags.get("DT_FLAGS", 0) & _NOW or flags.get("DT_FLAGS_1", 0) & _NOW_1
        stack = segments.get("PT_GNU_STACK")
        program = "PT_INTERP" in segments or kind == "ET_EXEC" or bool(flags.get("DT_FLAGS_1", 0) & _PIE_1)
        return Binary(
            path=path,
            program=program,
            pie=kind == "ET_DYN",
            relro="none" if "PT_GNU_RELRO" not in segments else "full" if now else "partial",
            stack=stack is not None and not stack["p_flags"] & _EXECUTABLE,
            canary="__stack_chk_fail" in names or "__stack_chk_guard" in names,
            fortified=any(name.startswith("__") and name.endswith("_chk") for name in names),
            run_path=tuple(run_path),
        )


def _only_root_writes(part: str, path: str) -> bool:
    """Of a part of the search path of the file at `path` (ld.so(8)). What begins at the file's own place may stay below
    the top folder that the file is in.
    """
    folder, own = dirname(path), "/".join((*path.split("/")[:2], ""))
    place = f"{normpath(_ORIGIN.sub(lambda _: folder, part))}/"
    return place.startswith((*_OF_ROOT, own) if _ORIGIN.match(part) else _OF_ROOT)


def _imported(elf: ELFFile) -> Iterable[str]:
    """Names of dynamic symbols: the string table of them has each, ended by a zero."""
    table = elf.get_section_by_name(".dynstr")
    return (one.decode("ascii", "replace") for one in table.data().split(b"\0")) if table is not None else ()


def _candidates(root: Path) -> Iterator[str]:
    """Regular files that may be programs or libraries: executable, or named as a library; each inode once."""
    seen: set[tuple[int, int]] = set()
    for path, status in walk(root):
        identity = (status.st_dev, status.st_ino)
        if not stat.S_ISREG(status.st_mode) or identity in seen:
            continue
        name = path.rpartition("/")[2]
        if status.st_mode & 0o111 or ".so" in name:
            seen.add(identity)
            yield path
