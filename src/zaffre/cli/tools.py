# SPDX-License-Identifier: Apache-2.0
"""The tools tree for commands that look at sources, whether or not the rest of the lock answers the definition."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from zaffre.cli.context import Workspace
from zaffre.cli.output import count
from zaffre.errors import FindingError

if TYPE_CHECKING:
    from zaffre.sandbox import Sandbox
    from zaffre.upstream import Lock, LockedPackage, LockedSet


def locked_tools(work: Workspace, lock: Lock | None) -> LockedSet:
    """The tools that the lock has for this machine. FindingError without any."""
    from zaffre.cli.making import Making

    tools = lock.find("tools", Making(work).tools_architecture) if lock else None
    if tools is None:
        raise FindingError(
            "the lock has no tools for this machine",
            where=str(work.distribution.lock_file),
            resolution="run `zaffre lock`",
        )
    return tools


def tools_sandbox(work: Workspace, lock: Lock | None, architecture: str | None = None) -> Sandbox:
    """A sandbox with the locked tools, fetched if they have to be, which stays in use until the command ends.

    `architecture` is that of the roots in which programs are to be run, this machine's unless said.
    """
    from zaffre.cli.making import Making
    from zaffre.upstream.toolsets import own_tools, tool_sets

    making, tools = Making(work), locked_tools(work, lock)
    machine, sets = making.tools_architecture, own_tools(work.distribution, tools)
    if lock is not None:
        sets = tool_sets(work.distribution, lock, architecture=architecture or machine, machine=machine)
        fetch_locked(work, lock, sets.packages)
    return work.cleanup.enter_context(making.cross_tools_for(sets))


def fetch_locked(work: Workspace, lock: Lock, packages: Iterable[LockedPackage]) -> None:
    """Bring packages of any lock of the distribution into the store.

    Raises FindingError for those that were built here and are not there: only the lock that is the definition's is
    built from.
    """
    from zaffre.cli.making import Making
    from zaffre.upstream import COMPONENTS
    from zaffre.upstream.acceptance import Acceptance
    from zaffre.upstream.fetch import fetch
    from zaffre.upstream.missing import missing

    acceptance = Acceptance(work.distribution.upstreams.values(), work.store, now=lock.created)
    wanted = missing(packages, work.store, acceptance)
    if ours := [one for one in wanted if one.archive == COMPONENTS]:
        raise FindingError(
            f"the store lacks {count(len(ours), 'package')} that {'was' if len(ours) == 1 else 'were'} built here",
            where=f"lock {lock.version}",
            details="\n".join(f"{one.name} {one.version}" for one in ours),
            resolution="build an image from that lock first, on this machine or with a store that has them",
        )
    if wanted:
        fetch(wanted, Making(work).mirrors.at(lock.created), work.store, work.progress, acceptance=acceptance)
