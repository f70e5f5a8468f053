# SPDX-License-Identifier: Apache-2.0
"""Which shared libraries a program of a root file tree needs, found without running it.

Three sources, all inside the file: the interpreter (PT_INTERP), the needed libraries (DT_NEEDED with
DT_RUNPATH, ld.so(8)), and the libraries that are opened on demand, as the ELF package-metadata note
`.note.dlopen` names them (UAPI group, "ELF dlopen metadata"; systemd fills it since version 256).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile
from elftools.elf.sections import NoteSection
from elftools.elf.segments import InterpSegment

from zaffre.errors import DefinitionError

_DLOPEN_NOTE = ".note.dlopen"
_WANTED_PRIORITIES = frozenset({"required", "recommended"})


@dataclass(frozen=True)
class _Needs:
    interpreter: str | None = None
    needed: tuple[str, ...] = ()
    run_path: tuple[str, ...] = ()
    on_demand: tuple[str, ...] = ()


@dataclass
class LibraryFinder:
    """Resolves programs to themselves plus all that they load, as paths below `root` with links named too."""

    root: Path
    triplet: str
    _seen: dict[str, None] = field(default_factory=dict)

    def closure(self, programs: Iterable[str]) -> tuple[str, ...]:
        """Absolute paths (inside the root) of the programs, their libraries and every link on the way, sorted.

        Raises DefinitionError for a program that is not in the root.
        """
        self._seen.clear()
        for number, program in enumerate(programs):
            if not _inside(self.root, real_path(self.root, program)).is_file():
                raise DefinitionError(
                    f"the program {program} is not in the tree",
                    where=f"initrd.programs[{number}]",
                    resolution=self._near(program),
                )
            self._add(program)
        return tuple(sorted(self._seen))

    def library(self, name: str, *, wanted_by: str) -> str:
        """Where the library is that a program opens on demand. Raises DefinitionError; `wanted_by` is the setting."""
        found = self._find(name, _Needs(), "/usr/lib/systemd/systemd")
        if found is None:
            raise DefinitionError(
                f"the library {name} is not in the tree",
                where=wanted_by,
                resolution="add the package that carries it",
            )
        return found

    def _near(self, program: str) -> str:
        folder = _inside(self.root, str(Path(program).parent))
        names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        near = get_close_matches(Path(program).name, names, n=3)
        if near:
            return f"did you mean {' or '.join(near)}?"
        return "add the package that carries it, or take it out of initrd.programs"

    def _add(self, path: str) -> None:
        path = str(path)
        for link in links_on_the_way(self.root, path):
            self._seen.setdefault(link)
        real = real_path(self.root, path)
        if real in self._seen:
            return
        self._seen[real] = None
        needs = _read(_inside(self.root, real))
        if needs.interpreter:
            self._add(needs.interpreter)
        for name in needs.needed:
            found = self._find(name, needs, real)
            if found is None:
                raise DefinitionError(
                    f"{real} needs {name}, which is not in the tree",
                    where="packages",
                    resolution=f"add the package that has {name}",
                )
            self._add(found)
        for name in needs.on_demand:
            if (found := self._find(name, needs, real)) is not None:
                self._add(found)

    def _find(self, name: str, needs: _Needs, owner: str) -> str | None:
        origin = str(Path(owner).parent)
        directories = [entry.replace("$ORIGIN", origin).replace("${ORIGIN}", origin) for entry in needs.run_path]
        # The owner's folder last: a private library may count on another one of its own program being loaded already.
        for directory in (*directories, f"/usr/lib/{self.triplet}", "/usr/lib", "/usr/lib64", origin):
            candidate = f"{directory}/{name}"
            if _inside(self.root, real_path(self.root, candidate)).is_file():
                return candidate
        return None


def real_path(root: Path, path: str) -> str:
    """`path` with every link resolved inside `root` (an absolute link starts at `root`, `..` stops there)."""
    parts = [part for part in path.split("/") if part]
    done: list[str] = []
    followed = 0
    while parts:
        part = parts.pop(0)
        if part == ".":
            continue
        if part == "..":
            done = done[:-1]
            continue
        candidate = root.joinpath(*done, part)
        if candidate.is_symlink() and followed < 40:
            followed += 1
            target = str(candidate.readlink())
            if target.startswith("/"):
                done = []
            parts = [piece for piece in target.split("/") if piece] + parts
        else:
            done.append(part)
    return "/" + "/".join(done)


def links_on_the_way(root: Path, path: str) -> tuple[str, ...]:
    """The symbolic links that are followed from `path` to its real file, directory links left out."""
    links: list[str] = []
    current = path
    for _ in range(40):
        parent = real_path(root, str(Path(current).parent))
        here = f"{parent.rstrip('/')}/{Path(current).name}"
        if not _inside(root, here).is_symlink():
            break
        links.append(here)
        target = str(_inside(root, here).readlink())
        current = target if target.startswith("/") else f"{parent}/{target}"
    return tuple(links)


def _inside(root: Path, path: str) -> Path:
    return root / path.lstrip("/")


def _read(path: Path) -> _Needs:
    try:
        with path.open("rb") as file:
            if file.read(4) != b"\x7fELF":
                return _Needs()
            file.seek(0)
            return _parse(ELFFile(file))
    except ELFError as error:
        raise DefinitionError(f"{path.name} is not a readable ELF file: {error}") from error


def _parse(elf: ELFFile) -> _Needs:
    interpreter = next(
        (segment.get_interp_name() for segment in elf.iter_segments() if isinstance(segment, InterpSegment)), None
    )
    needed: list[str] = []
    run_path: list[str] = []
    dynamic = elf.get_section_by_name(".dynamic")
    if isinstance(dynamic, DynamicSection):
        for tag in dynamic.iter_tags():
            kind = tag.entry.d_tag
            if kind == "DT_NEEDED":
                needed.append(str(tag.needed))  # type: ignore[attr-defined]  # set by the tag's kind
            elif kind in {"DT_RUNPATH", "DT_RPATH"}:
                value = tag.runpath if kind == "DT_RUNPATH" else tag.rpath  # type: ignore[attr-defined]
                run_path.extend(str(value).split(":"))
    return _Needs(interpreter, tuple(needed), tuple(run_path), tuple(_on_demand(elf)))


def _on_demand(elf: ELFFile) -> Iterable[str]:
    section = elf.get_section_by_name(_DLOPEN_NOTE)
    if not isinstance(section, NoteSection):
        return
    for note in section.iter_notes():
        description = note["n_desc"]
        raw = description if isinstance(description, bytes) else description.encode("latin-1")
        try:
            entries = json.loads(raw.rstrip(b"\0 \n"))
        except ValueError:
            continue
        for entry in entries:
            if entry.get("priority") in _WANTED_PRIORITIES:
                yield from entry.get("soname", ())
