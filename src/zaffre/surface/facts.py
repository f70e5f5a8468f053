# SPDX-License-Identifier: Apache-2.0
"""What an inventory tells of an image's attack surface. Pure."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from posixpath import basename, dirname

from pydantic import BaseModel, ConfigDict

from zaffre.tree.inventory import Inventory
from zaffre.tree.listing import Content
from zaffre.tree.units import UnitState
from zaffre.trust.generated import unknown

_PROGRAM_FOLDERS = frozenset({"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin"})
_SHELLS = re.compile(r"(?:ba|da|k|mk|z|tc|c|fi|a|rba|e)?sh|busybox(?:\.static)?|fish|toybox")
_INTERPRETERS = re.compile(
    r"python[0-9.]*|perl[0-9.]*|ruby[0-9.]*|lua(?:jit)?[0-9.]*|php[0-9.]*|node(?:js)?|[gmn]?awk|tclsh[0-9.]*|guile[0-9.-]*|"
    r"jq|gdb|expect"
)
_COMPILERS = re.compile(
    r"(?:[a-z0-9_]+-linux-gnu[a-z0-9]*-)?"
    r"(?:gcc|g\+\+|cpp|cc|c\+\+|clang(?:\+\+)?|tcc|as|ld(?:\.(?:bfd|gold|lld|so))?|rustc|go|gccgo|make)(?:-[0-9.]+)?"
)
_COMPILER_PARTS = re.compile(r"cc1(?:plus)?|collect2|lto1|compile|link")


class Facts(BaseModel):
    """What was found, by kind; each but `packages` is a list of what it is: paths, or names of units.

    A program that is a link to another one is that one, and is not counted twice.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    packages: int
    setuid: tuple[str, ...]
    capabilities: tuple[str, ...]
    listening: tuple[str, ...]
    services: tuple[str, ...]
    shells: tuple[str, ...]
    interpreters: tuple[str, ...]
    compilers: tuple[str, ...]
    world_writable: tuple[str, ...]
    unowned: tuple[str, ...]


def facts_of(inventory: Inventory) -> Facts:
    """Facts of a root that has been read."""
    programs = [one.path for one in inventory.content if _is_program(one)]
    loose = [
        one.path for one in inventory.content if one.sha256 is not None and one.package is None and one.tree is None
    ]
    bits = stat.S_ISUID | stat.S_ISGID
    return Facts(
        packages=len(inventory.packages),
        setuid=tuple(one.path for one in inventory.privileged if int(one.mode, 8) & bits),
        capabilities=tuple(one.path for one in inventory.privileged if one.capabilities),
        listening=tuple(one.name for one in inventory.listening if one.enabled),
        services=tuple(
            sorted(
                name
                for name, state in inventory.units.items()
                if name.endswith(".service") and state is UnitState.ENABLED
            )
        ),
        shells=tuple(path for path in programs if _in_path(path) and _SHELLS.fullmatch(basename(path))),
        interpreters=tuple(path for path in programs if _in_path(path) and _INTERPRETERS.fullmatch(basename(path))),
        compilers=tuple(path for path in programs if _is_compiler(path)),
        world_writable=tuple(_world_writable(inventory)),
        unowned=tuple(unknown(loose, {one.path for one in inventory.content if one.package is not None})),
    )


def _is_program(one: Content) -> bool:
    return one.sha256 is not None and bool(int(one.mode, 8) & 0o111)


def _in_path(path: str) -> bool:
    return dirname(path) in _PROGRAM_FOLDERS


def _is_compiler(path: str) -> bool:
    if _in_path(path):
        return _COMPILERS.fullmatch(basename(path)) is not None
    inner = "/gcc/" in path or "/go-" in path or "/go/" in path
    return inner and _COMPILER_PARTS.fullmatch(basename(path)) is not None


def _world_writable(inventory: Inventory) -> Iterator[str]:
    for one in inventory.content:
        mode = int(one.mode, 8)
        folder = one.sha256 is None and one.target is None
        if one.target is None and mode & stat.S_IWOTH and not (folder and mode & stat.S_ISVTX):
            yield one.path
