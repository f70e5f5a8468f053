# SPDX-License-Identifier: Apache-2.0
"""Python in an extension: the agent's own modules, the interpreter's libraries by their names, and compiled modules.

A host is read-only, so nothing is compiled on it: an extension that brings an interpreter brings compiled modules, made
by that very interpreter, without their sources. They are valid whatever a time or a hash says (PEP 552, "unchecked"),
and the same in every build.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from elftools.common.exceptions import ELFError
from elftools.elf.dynamic import DynamicSection
from elftools.elf.elffile import ELFFile

from zaffre.digest import Sha256
from zaffre.sandbox import TRIPLETS, Mount, Sandbox

AGENT = "usr/lib/zaffre-agent"
_MODULES = ("__init__.py", "errors.py", "progress.py", "slots.py")
_PACKAGES = ("agent", "delta", "follow", "offer")
_OURS = Path(__file__).resolve().parent.parent
_LIBRARIES = "usr/lib/*-linux-gnu/*.so.*"
_SECONDS = 900.0


def lay_agent(tree: Path) -> None:
    """Copy the modules that `zaffre-agent` consists of, as they are in the program that runs."""
    target = tree / AGENT / "zaffre"
    for source in _sources():
        path = target / source.relative_to(_OURS)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, path)


def agent_digest() -> Sha256:
    digest = hashlib.sha256()
    for source in _sources():
        digest.update(f"{source.relative_to(_OURS)}\0{hashlib.sha256(source.read_bytes()).hexdigest()}\0".encode())
    return Sha256(digest.hexdigest())


def _sources() -> list[Path]:
    found = [_OURS / name for name in _MODULES]
    return [*found, *(path for name in _PACKAGES for path in sorted((_OURS / name).rglob("*.py")))]


def name_libraries(tree: Path) -> None:
    """Give each shared library the name by which programs ask for it, as ldconfig(8) does. Packages have these links,
    and only files are taken out of them.
    """
    for path in sorted(tree.glob(_LIBRARIES)):
        name = _own_name(path)
        if name and name != path.name and not (path.parent / name).exists():
            (path.parent / name).symlink_to(path.name)


def _own_name(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            for section in ELFFile(file).iter_sections("SHT_DYNAMIC"):
                if isinstance(section, DynamicSection):
                    names = [str(getattr(tag, "soname", "")) for tag in section.iter_tags("DT_SONAME")]
                    return names[0] if names and "/" not in names[0] else None
    except ELFError:
        return None
    return None


def compile_python(tree: Path, scratch: Path, sandbox: Sandbox) -> None:
    """Put compiled modules in the place of sources, by the interpreter that the tree brings; without one, do nothing.
    One of another architecture is emulated, in a root in `scratch`.

    Raises ToolError for a module that does not compile.
    """
    interpreter = next(iter(sorted(tree.glob("usr/bin/python3.*"))), None)
    if interpreter is None:
        return
    root = foreign_root(scratch, sandbox)
    # Not isolated (-I): the seed of hashes, by which sets of constants are ordered, would be chosen anew. What the
    # interpreter imports for itself must not be cached beside it (-B): that would be valid by times.
    sandbox.run(
        [
            f"/job/{interpreter.relative_to(tree)}",
            *("-B", "-s", "-P", "-m", "compileall", "-q", "-f", "-b", "--invalidation-mode", "unchecked-hash"),
            *("-s", "/job", "/job/usr/lib"),
        ],
        mounts=[Mount(tree, "/job", writable=True)],
        root=root,
        env={"PYTHONHASHSEED": "0"},
        timeout=_SECONDS,
    )
    for source in tree.glob("usr/lib/**/*.py"):
        source.unlink()


def foreign_root(scratch: Path, sandbox: Sandbox) -> Path | None:
    """A root in `scratch` for programs of the architecture that the tools emulate: the libraries that the tools tree
    has of that, and their loader where programs look for it. None for the machine's own, which has the tools tree.
    """
    if sandbox.emulates is None:
        return None
    root, libraries = scratch / "foreign", f"usr/lib/{TRIPLETS[sandbox.emulates]}"
    shutil.copytree(sandbox.tools.root / libraries, root / libraries, symlinks=True)
    name_libraries(root)
    for name in ("lib", "lib64"):
        (root / name).symlink_to("usr/lib")
    for loader in (root / libraries).glob("ld-linux*.so.*"):
        (root / "usr/lib" / loader.name).symlink_to(loader.relative_to(root / "usr/lib"))
    return root
