# SPDX-License-Identifier: Apache-2.0
"""What a node does next about an extension that it follows beside its host, and why. Pure, as `zaffre.offer.decision`.

What holds whatever is released, whatever the clock says and whatever fails:

- a node never takes a version that is older than the newest that it has had, nor one that is revoked, nor one below its
  floor; and none that failed here;
- it changes nothing before its running boot is blessed, nor outside of its window, nor while its owner holds it;
- what is revoked is left for what is newer, without waiting for a turn, and taken away if there is nothing newer; but
  for one that is needed, as the agent's own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from zaffre.offer.decision import Policy
from zaffre.offer.record import Record
from zaffre.offer.turn import position
from zaffre.offer.version import compare_versions, version_key


class Move(StrEnum):
    """STAY: there is nothing to do. WAIT: there is, later. TAKE: lay that version over. REMOVE: take away what is."""

    STAY = "stay"
    WAIT = "wait"
    TAKE = "take"
    REMOVE = "remove"


@dataclass(frozen=True)
class Carried:
    """What a node knows of one of its extensions. `newest` is the newest version that it has had, of which `there` says
    whether it still is; `failed` are refused here, or did not prove themselves. One that is `needed` stays.
    """

    node: str
    newest: str | None = None
    there: bool = False
    failed: frozenset[str] = frozenset()
    blessed: bool = True
    needed: bool = False


@dataclass(frozen=True)
class Step:
    """`version` is what the move is about; `until`, for WAIT, when another look is worth it, if that is known."""

    move: Move
    reason: str
    version: str | None = None
    until: datetime | None = None


def decide_extension(mine: Carried, offers: Collection[Record], policy: Policy, now: datetime) -> Step:
    """What the node does next. `offers` are all records of its channel for that extension and its architecture."""
    if not mine.blessed:
        return Step(Move.WAIT, "the running boot is not blessed yet")
    if policy.held:
        return Step(Move.WAIT, "the owner holds this node where it is")
    step = _wanted(mine, offers, now)
    opens = now if policy.window is None else policy.window.opens(now)
    if step.move in {Move.TAKE, Move.REMOVE} and opens > now:
        return Step(Move.WAIT, f"{step.reason}; the window opens at {opens:%Y-%m-%d %H:%M} UTC", step.version, opens)
    return step


def _wanted(mine: Carried, offers: Collection[Record], now: datetime) -> Step:
    leaving = mine.there and any(one.version == mine.newest and one.revoked is not None for one in offers)
    open_to = sorted((one for one in offers if _may_take(mine, one)), key=lambda one: version_key(one.version))
    going = [one for one in open_to if one.rollout.stopped is None]
    ready = [one for one in going if leaving or one.rollout.has_turn(mine.node, one.version, now)]
    if ready:
        why = f"{mine.newest}, which is laid over, is revoked" if leaving else "it is the newest whose turn has come"
        return Step(Move.TAKE, why, ready[-1].version)
    if leaving and not mine.needed:
        return Step(Move.REMOVE, "it is revoked, and nothing newer is offered", mine.newest)
    if going:
        return _wait(mine, going, now)
    if open_to:
        return Step(Move.WAIT, f"the rollout of {open_to[-1].version} is paused", open_to[-1].version)
    return Step(Move.STAY, _why_none(mine, offers))


def _may_take(mine: Carried, one: Record) -> bool:
    if one.revoked is not None or one.version in mine.failed:
        return False
    if mine.newest is None:
        return True
    order = compare_versions(one.version, mine.newest)
    if order < 0 or (order == 0 and mine.there):
        return False
    # A floor is about coming from something older: who has nothing, comes from nothing.
    return not mine.there or one.floor is None or compare_versions(one.floor, mine.newest) <= 0


def _wait(mine: Carried, going: Sequence[Record], now: datetime) -> Step:
    turns = {one.version: one.rollout.turn_at(mine.node, one.version, now) for one in going}
    first = min(turns, key=lambda version: turns[version])
    reason = (
        f"the turn of this node for {first} comes at {turns[first]:%Y-%m-%d %H:%M} UTC: it is at "
        f"{position(mine.node, first):.1%} of all nodes"
    )
    return Step(Move.WAIT, reason, first, turns[first])


def _why_none(mine: Carried, offers: Collection[Record]) -> str:
    if not offers:
        return "the channel offers none"
    failed = sorted((one.version for one in offers if one.version in mine.failed), key=version_key)
    if failed and failed[-1] != mine.newest:
        return f"{', '.join(failed)} failed here, and is not tried again"
    if mine.there:
        return f"{mine.newest} is laid over, and nothing newer can be taken"
    return "all that could be taken is revoked, or older than what was here"
