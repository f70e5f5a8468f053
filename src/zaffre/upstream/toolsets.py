# SPDX-License-Identifier: Apache-2.0
"""Which locked sets the tools tree of a build is made of: this machine's, and more for another architecture. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.definition import TOOLS, Architecture, Distribution
from zaffre.errors import DefinitionError
from zaffre.upstream.lock import CROSS_PREFIX, Lock, LockedPackage


@dataclass(frozen=True)
class ToolSets:
    """`programs` are configured together, for the machine that builds. Of `target`, packages of another architecture,
    only files are taken. `emulates` is that architecture; None when images are for the machine's own.
    """

    machine: str
    programs: tuple[LockedPackage, ...]
    target: tuple[LockedPackage, ...] = ()
    emulates: str | None = None

    @property
    def packages(self) -> tuple[LockedPackage, ...]:
        return (*self.programs, *self.target)


def tool_sets(distribution: Distribution, lock: Lock, *, architecture: str, machine: str) -> ToolSets:
    """What it takes to make images for `architecture` on a `machine`.

    Raises FindingError when the lock has no tools, or none for that architecture; DefinitionError when the definition
    names none.
    """
    own = lock.set(TOOLS, machine)
    if architecture == machine:
        return ToolSets(machine, own.packages)
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
        tuple({one.key: one for one in (*own.packages, *lock.set(name, machine).packages)}.values()),
        tuple(package for package in target if package.name in cross.target),
        architecture,
    )
