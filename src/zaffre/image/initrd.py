# SPDX-License-Identifier: Apache-2.0
"""The initrd: systemd out of our own packages, with the modules and programs that the definition names.

It is staged as a directory from the configured root, so it holds the very files that the packages
brought, and packed once by cpio and lz4 from the tools tree. No hook of a package takes part.
Format: cpio "newc" (kernel Documentation/driver-api/early-userspace/buffer-format.rst).
"""

from __future__ import annotations

import mmap
import os
import posixpath
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from zaffre.errors import DefinitionError
from zaffre.image.elf import LibraryFinder, links_on_the_way, real_path
from zaffre.image.state import MANAGER_FILES
from zaffre.sandbox import TRIPLETS, Mount, Sandbox
from zaffre.tree import KernelModules
from zaffre.tree.kmod import plain_content, plain_name
from zaffre.tree.rootfs import inside
from zaffre.tree.tarball import read_tar

_USR_MERGE = ("bin", "sbin", "lib", "lib64")
_MOUNT_POINTS = ("dev", "proc", "run", "sys", "sysroot", "tmp", "var")
_WHOLE = ("boot/", "etc/", "usr/lib/")
_PACK_SECONDS = 300.0
_MANAGER = ("/usr/lib/systemd/systemd", "/usr/lib/systemd/systemd-executor")


@dataclass(frozen=True)
class InitrdSpec:
    """What goes in: module names, absolute program paths, globs of files, unit names, trees laid over it, and names of
    libraries that a program opens on demand.
    """

    modules: tuple[str, ...]
    programs: tuple[str, ...]
    files: tuple[str, ...]
    units: tuple[str, ...]
    trees: tuple[Path, ...]
    architecture: str
    libraries: tuple[str, ...] = ()


def useless_for_initrd(archive: Path, spec: InitrdSpec) -> Callable[[str], bool]:
    """Which absolute paths of a configured root need not be extracted to stage an initrd from it.

    Libraries, units, settings and the kernel are kept whole; of the large folders only named programs, links and
    what the globs of `spec.files` match.
    """
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        entries = {entry.path: (entry.kind, entry.target) for entry in read_tar(content)}

    def merged(path: str) -> str:
        """`bin/x` as `usr/bin/x`, if the root's `bin` is a link that leads there."""
        first, _, rest = path.partition("/")
        kind, target = entries.get(first, ("", ""))
        return f"{target.strip('/')}/{rest}" if kind == "2" and rest else path

    wanted = {path.lstrip("/") for path in spec.programs}
    for path in list(wanted):
        here = path
        while entries.get(here, ("", ""))[0] in {"1", "2"}:
            kind, target = entries[here]
            joined = target if kind == "1" or target.startswith("/") else f"{posixpath.dirname(here)}/{target}"
            here = merged(posixpath.normpath(joined).lstrip("/"))
            if here in wanted:
                break
            wanted.add(here)
    patterns = [pattern.lstrip("/") for pattern in spec.files]

    def useless(path: str) -> bool:
        inner = path.lstrip("/")
        kind = entries.get(inner, ("5", ""))[0]
        if kind not in {"0", "1"} or inner.startswith(_WHOLE) or inner in wanted:
            return False
        return not any(fnmatchcase(inner, pattern) for pattern in patterns)

    return useless


def stage_initrd(root: Path, staging: Path, spec: InitrdSpec) -> None:
    """Fill the empty directory `staging` from the configured root. Raises DefinitionError for what is missing."""
    for name in _USR_MERGE:
        (staging / "usr" / name).mkdir(parents=True, exist_ok=True)
        (staging / name).symlink_to(f"usr/{name}")
    for name in _MOUNT_POINTS:
        (staging / name).mkdir()
    (staging / "etc").mkdir()
    paths = set(_matches(root, spec.files)) | set(_unit_files(root, spec.units))
    libraries = LibraryFinder(root, TRIPLETS[spec.architecture])
    on_demand = [libraries.library(name, wanted_by="disk.var_encryption") for name in spec.libraries]
    paths |= set(libraries.closure((*spec.programs, *_programs_among(root, paths), *on_demand)))
    for path in sorted(paths):
        _copy(root, staging, path)
    _name_manager(root, staging, libraries)
    _copy_modules(root, staging, spec.modules, spec.architecture)
    for tree in spec.trees:
        shutil.copytree(tree, staging, symlinks=True, dirs_exist_ok=True)
    _finish(root, staging)


def _name_manager(root: Path, staging: Path, libraries: LibraryFinder) -> None:
    programs = [path for path in _MANAGER if inside(root, path.lstrip("/")).is_file()]
    files = sorted({real_path(root, path) for path in libraries.closure(programs)})
    target = staging / MANAGER_FILES
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(f"MANAGER={' '.join(path.lstrip('/') for path in files)}\n")


def pack_initrd(staging: Path, target: Path, *, sandbox: Sandbox, level: int, epoch: int, kernel_version: str) -> None:
    """Write `target`, an lz4-compressed cpio of `staging`: sorted, owned by root, dated `epoch`.

    lz4 in its legacy format is what the kernel reads (lib/decompress_unlz4.c). It is larger than zstd, by a sixth at
    the quick levels, and less work to unpack, at every boot. The format has no end: a block of length 0 is one to the
    kernel, which else takes the next archive, such as the one of a boot stub's credentials, for a block.
    """
    sandbox.run(
        ["depmod", "-b", "/staging", "--", kernel_version],
        mounts=[Mount(staging, "/staging", writable=True)],
        timeout=_PACK_SECONDS,
    )
    names: list[str] = []
    for folder, folders, files in os.walk(staging):
        for name in (*folders, *files):
            path = Path(folder, name)
            names.append(str(path.relative_to(staging)))
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o111 else 0o644)
            os.utime(path, (epoch, epoch), follow_symlinks=False)
    os.utime(staging, (epoch, epoch))
    archive = target.with_suffix(".cpio")
    sandbox.run(
        ["cpio", "--create", "--null", "--format=newc", "--reproducible", "--owner=0:0", "--quiet"],
        mounts=[Mount(staging, "/staging")],
        cwd="/staging",
        stdin="\0".join(sorted(names)).encode() + b"\0",
        stdout=archive,
        timeout=_PACK_SECONDS,
    )
    sandbox.run(
        ["lz4", "--quiet", "--force", "-l", f"-{level}", "/job/in.cpio", "/job/out.lz4"],
        mounts=[Mount(archive, "/job/in.cpio"), *_output(target, "/job/out.lz4")],
        timeout=_PACK_SECONDS,
    )
    archive.unlink()
    with target.open("ab") as file:
        file.write(bytes(4 + -file.tell() % 4))


def _output(target: Path, inside: str) -> Sequence[Mount]:
    target.touch()
    return (Mount(target, inside, writable=True),)


def _matches(root: Path, globs: Iterable[str]) -> Iterable[str]:
    for number, pattern in enumerate(globs):
        found = [f"/{path.relative_to(root)}" for path in root.glob(pattern.lstrip("/")) if not path.is_dir()]
        if not found:
            raise DefinitionError(
                f"nothing in the tree matches {pattern}",
                where=f"initrd.files[{number}]",
                resolution="add the package that has it, mend the pattern, or take it out",
            )
        for path in found:
            yield path
            yield from links_on_the_way(root, path)
            yield real_path(root, path)


def _unit_files(root: Path, units: Iterable[str]) -> Iterable[str]:
    folder = root / "usr/lib/systemd/system"
    for number, unit in enumerate(units):
        path = folder / unit
        if not path.is_symlink() and not path.exists():
            near = get_close_matches(unit, [entry.name for entry in folder.iterdir()], n=3)
            raise DefinitionError(
                f"the tree has no unit {unit}",
                where=f"initrd.units[{number}]",
                resolution=f"did you mean {' or '.join(near)}?" if near else "add the package that brings it",
            )
        yield f"/usr/lib/systemd/system/{unit}"
        for kind in ("wants", "requires", "d"):
            extra = folder / f"{unit}.{kind}"
            if extra.is_dir():
                yield from (
                    f"/usr/lib/systemd/system/{unit}.{kind}/{entry.name}"
                    for entry in extra.iterdir()
                    if kind == "d" or entry.name in units
                )


def _programs_among(root: Path, paths: Iterable[str]) -> list[str]:
    return [
        path
        for path in paths
        if (here := root / path.lstrip("/")).is_file() and not here.is_symlink() and here.stat().st_mode & 0o111
    ]


def _copy(root: Path, staging: Path, path: str) -> None:
    source = root / path.lstrip("/")
    target = staging / real_path(root, str(Path(path).parent)).lstrip("/") / source.name
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_symlink() or target.exists():
        return
    if source.is_symlink():
        target.symlink_to(source.readlink())
    else:
        shutil.copyfile(source, target)
        shutil.copymode(source, target)


def _copy_modules(root: Path, staging: Path, names: Iterable[str], architecture: str) -> None:
    """Copy modules and all that they need, decompressed: the whole archive is compressed once, and better."""
    modules = KernelModules.of_root(root)
    base = staging / "usr/lib/modules" / modules.version
    base.mkdir(parents=True, exist_ok=True)  # a kernel may have all that it needs built in
    for relative in sorted(modules.closure(names, key="initrd.modules", architecture=architecture)):
        source = root / "usr/lib/modules" / modules.version / relative
        target = base / plain_name(relative)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(plain_content(source))
    for name in ("modules.builtin", "modules.builtin.modinfo", "modules.order"):
        shutil.copyfile(root / "usr/lib/modules" / modules.version / name, base / name)


def _finish(root: Path, staging: Path) -> None:
    """What makes systemd take it for an initrd (systemd(1), "INITRD INTERFACE"), and users for udev's rules."""
    shutil.copyfile(root / real_path(root, "/etc/os-release").lstrip("/"), staging / "etc/initrd-release")
    (staging / "etc/os-release").symlink_to("initrd-release")
    (staging / "etc/machine-id").touch()
    for name in ("passwd", "group", "nsswitch.conf"):
        source = inside(root, f"etc/{name}")  # a link that a script made must not lead to the host's own users
        if source.is_file():
            shutil.copyfile(source, staging / "etc" / name)
    (staging / "init").symlink_to("usr/lib/systemd/systemd")
