# SPDX-License-Identifier: Apache-2.0
"""The tools tree for commands that look at sources, whether or not the rest of the lock answers the definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zaffre.cli.context import Workspace
from zaffre.errors import FindingError

if TYPE_CHECKING:
    from zaffre.sandbox import Sandbox
    from zaffre.upstream import Lock, LockedSet


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


def tools_sandbox(work: Workspace, lock: Lock | None) -> Sandbox:
    """A sandbox with the locked tools, fetched if they have to be, which stays in use until the command ends."""
    from zaffre.cli.making import Making
    from zaffre.upstream.acceptance import Acceptance
    from zaffre.upstream.fetch import fetch, missing

    tools = locked_tools(work, lock)
    making = Making(work)
    if lock is not None and (wanted := missing(tools.packages, work.store)):
        acceptance = Acceptance(work.distribution.upstreams.values(), work.store, now=lock.created)
        fetch(wanted, making.mirrors.at(lock.created), work.store, work.progress, acceptance=acceptance)
    return work.cleanup.enter_context(making.tools_for(tools))
