# SPDX-License-Identifier: Apache-2.0
"""Which locked sets the tools tree of a build is made of: this machine's, and more for another architecture. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.definition import TOOLS, Architecture, Distribution
from zaffre.errors import DefinitionError
from zaffre.upstream.lock import CROSS_PREFIX, Lock, LockedPackage, LockedSet


@dataclass(frozen=True)
class ToolSets:
    """`programs` are configured together, for the machine that builds. Of `unpacked` only files are taken: packages
    that the definition has so, and some of another architecture. `emulates` is that one; None when images are for the
    machine's own.
    """

    machine: str
    programs: tuple[LockedPackage, ...]
    unpacked: tuple[LockedPackage, ...] = ()
    emulates: str | None = None

    @property
    def packages(self) -> tuple[LockedPackage, ...]:
        return (*self.programs, *self.unpacked)


def own_tools(distribution: Distribution, locked: LockedSet) -> ToolSets:
    """What the locked tools of a machine are made of."""
    laid = distribution.tools.unpacked
    return ToolSets(
        locked.architecture,
        tuple(one for one in locked.packages if one.name not in laid),
        tuple(one for one in locked.packages if one.name in laid),
    )


def tool_sets(distribution: Distribution, lock: Lock, *, architecture: str, machine: str) -> ToolSets:
    """What it takes to make images for `architecture` on a `machine`.

    Raises FindingError when the lock has no tools, or none for that architecture; DefinitionError when the definition
    names none.
    """
    own = own_tools(distribution, lock.set(TOOLS, machine))
    if architecture == machine:
        return own
    cross = distribution.tools.cross.get(Architecture(architecture))
    if cross is None:
        raise DefinitionError(
            f"the definition names no tools to make images for {architecture} on a machine of {machine}",
            where=f"zaffre.toml: tools.cross.{architecture}",
            resolution=f"add [tools.cross.{architecture}], as the reference distribution has it, and run `zaffre "
            f"lock`; or build on a machine of {architecture}, from the same lock",
        )
    name = f"{CROSS_PREFIX}{architecture}"
    target = lock.set(name, architecture).packages if cross.target else ()
    return ToolSets(
        machine,
        tuple({one.key: one for one in (*own.programs, *lock.set(name, machine).packages)}.values()),
        (*own.unpacked, *(package for package in target if package.name in cross.target)),
        architecture,
    )
