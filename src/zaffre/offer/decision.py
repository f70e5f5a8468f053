# SPDX-License-Identifier: Apache-2.0
"""What a node does next about its version, and why, in words. Pure: the same answer on the node and on a desk.

What holds whatever is released, whatever the clock says and whatever fails:

- a node never goes to a version that is not newer than the one it runs, nor below a floor, nor to one that is revoked
  when it decides;
- it writes nothing, and restarts into nothing, before its running boot is blessed: until then the other slot is the one
  that it may have to go back to;
- a version that did not come up here is not tried again, until somebody orders just that;
- nothing that was staged keeps a node from what is better: it is dropped when it is no longer offered.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from zaffre.offer.path import newer
from zaffre.offer.record import Record
from zaffre.offer.turn import position
from zaffre.offer.version import compare_versions, version_key
from zaffre.offer.window import Window


class Act(StrEnum):
    """STAY: there is nothing to do. WAIT: there is, later. STAGE: write the version into the other slot. DROP: forget
    what is staged there. RESTART: boot what is staged.
    """

    STAY = "stay"
    WAIT = "wait"
    STAGE = "stage"
    DROP = "drop"
    RESTART = "restart"


@dataclass(frozen=True)
class Node:
    """What a node knows of itself. `staged` is whole in the other slot, and has not been booted; `failed` did not come
    up here; `ordered` is a version that somebody asked this very node to go to, until that was tried.
    """

    id: str
    running: str
    blessed: bool = True
    staged: str | None = None
    failed: frozenset[str] = frozenset()
    ordered: str | None = None


@dataclass(frozen=True)
class Policy:
    """The owner's word for this node: `held` nodes stay; others restart within `window`, or at any time without one."""

    window: Window | None = None
    held: bool = False


@dataclass(frozen=True)
class Decision:
    """`version` is what the act is about; `until`, for WAIT, when another look is worth it, if that is known."""

    act: Act
    reason: str
    version: str | None = None
    until: datetime | None = None


def decide(node: Node, offers: Collection[Record], policy: Policy, now: datetime) -> Decision:
    """What the node does next. `offers` are all records of its channel for its image and architecture."""
    if not node.blessed:
        return Decision(Act.WAIT, f"the running boot of {node.running} is not blessed yet", node.running)
    open_to = [one for one in newer(offers, node.running) if not _shunned(node, one.version)]
    if node.staged is not None and all(one.version != node.staged for one in open_to):
        return Decision(Act.DROP, _why_dropped(node, node.staged, offers), node.staged)
    if policy.held:
        return Decision(Act.WAIT, "the owner holds this node where it is")
    if not open_to:
        return Decision(Act.STAY, _why_none(node, offers))
    return _forward(node, open_to, policy, now, leaving=_revoked(node, offers))


def _forward(node: Node, open_to: Sequence[Record], policy: Policy, now: datetime, *, leaving: bool) -> Decision:
    """There is something to go to. Who is `leaving` what was revoked does not wait for a turn."""
    staged = next((one for one in open_to if one.version == node.staged), None)
    if any(one.version == node.ordered for one in open_to):
        act = Act.RESTART if node.staged == node.ordered else Act.STAGE
        return Decision(act, f"somebody ordered {node.ordered} for this node", node.ordered)
    ready = [
        one
        for one in open_to
        if one.rollout.stopped is None and (leaving or one.rollout.has_turn(node.id, one.version, now))
    ]
    if staged is not None and staged.rollout.stopped is None:
        return _restart(node, staged, ready, policy, now)
    if ready:
        return Decision(Act.STAGE, _why_staged(node, ready[0], open_to[0], leaving=leaving), ready[0].version)
    return _wait(node, open_to, now)


def _shunned(node: Node, version: str) -> bool:
    return version in node.failed and version != node.ordered


def _revoked(node: Node, offers: Collection[Record]) -> bool:
    return any(one.version == node.running and one.revoked is not None for one in offers)


def _restart(node: Node, staged: Record, ready: Sequence[Record], policy: Policy, now: datetime) -> Decision:
    """Into what is staged, when that may be. While it may not, what is newer takes its place, if its turn has come."""
    opens = now if policy.window is None else policy.window.opens(now)
    if opens <= now:
        return Decision(Act.RESTART, f"{staged.version} is staged, and {node.running} runs", staged.version)
    if ready and compare_versions(ready[0].version, staged.version) > 0:
        return Decision(Act.STAGE, f"it is newer than {staged.version}, which is staged", ready[0].version)
    reason = f"{staged.version} is staged; the window for restarts opens at {opens:%Y-%m-%d %H:%M} UTC"
    return Decision(Act.WAIT, reason, staged.version, opens)


def _wait(node: Node, open_to: Sequence[Record], now: datetime) -> Decision:
    going = [one for one in open_to if one.rollout.stopped is None]
    if not going:
        paused = open_to[0]
        return Decision(Act.WAIT, f"the rollout of {paused.version} is paused", paused.version)
    turns = {one.version: one.rollout.turn_at(node.id, one.version, now) for one in going}
    first = min(turns, key=lambda version: turns[version])
    rollout = next(one.rollout for one in going if one.version == first)
    reason = (
        f"the turn of this node for {first} comes at {turns[first]:%Y-%m-%d %H:%M} UTC: it is at "
        f"{position(node.id, first):.1%} of all nodes, by the schedule '{rollout.name}'"
    )
    return Decision(Act.WAIT, reason, first, turns[first])


def _why_staged(node: Node, one: Record, newest: Record, *, leaving: bool) -> str:
    if leaving:
        return f"{node.running}, which runs, is revoked"
    if one is newest:
        return "it is the newest that this node can come to, and its turn has come"
    return f"its turn has come, unlike that of {newest.version}"


def _why_dropped(node: Node, staged: str, offers: Collection[Record]) -> str:
    record = next((one for one in offers if one.version == staged), None)
    if record is None:
        return f"{staged} is staged, and no longer offered"
    if record.revoked is not None:
        return f"{staged} is staged, and revoked: {record.revoked.reason}"
    if staged in node.failed:
        return f"{staged} did not come up here"
    if compare_versions(staged, node.running) <= 0:
        return f"{staged} is staged, and not newer than {node.running}, which runs"
    return f"{staged} is staged, and its floor is {record.floor}: {node.running} may not come to it"


def _why_none(node: Node, offers: Collection[Record]) -> str:
    ahead = [one for one in offers if compare_versions(one.version, node.running) > 0]
    good = [one for one in ahead if one.revoked is None]
    left = f"{node.running}, which runs, is revoked, but " if _revoked(node, offers) else ""
    if not ahead:
        return f"{left}nothing newer is offered"
    if not good:
        return f"{left}all that is newer is revoked"
    failed = sorted((one.version for one in good if _shunned(node, one.version)), key=version_key)
    if failed:
        return f"{left}{', '.join(failed)} did not come up here, and is not tried again without an order"
    floors = ", ".join(f"{one.version} (floor {one.floor})" for one in good)
    return f"{left}no way leads from {node.running} to {floors}"
