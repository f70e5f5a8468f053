# SPDX-License-Identifier: Apache-2.0
"""A rollout over a fleet that does not exist: how many nodes a bad release reaches, when it stops, and how long the
good one takes.

Each node is drawn from its number alone, so a run can be repeated and compared: its time zone, when it asks for news,
whether it is switched off for a while, and whether the bad release fails on it. Nothing is averaged away: every node
has its own times, and the halt looks at reports in the order in which they come.
"""

from __future__ import annotations

import hashlib
import math
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from zaffre.offer import Schedule, position

HOUR = 3600.0
DAY = 24 * HOUR
_POINTS = 240
_UNIT = 1 << 32
_TOLD = 20_000
"""Nodes between two words about how far it is."""


@dataclass(frozen=True)
class Fleet:
    """What the nodes are like.

    They ask for news every `poll` seconds, and restart within `window` (hours of their own day, the second excluded;
    None: at any time). With `zones` they are spread over 24 time zones. `away` of them (0 to 1) are switched off once,
    at some time of the first `span` seconds, for `away_seconds` on average. A node reports `report` seconds after its
    restart.
    """

    nodes: int
    poll: float = HOUR
    window: tuple[int, int] | None = (2, 5)
    zones: bool = True
    away: float = 0.05
    away_seconds: float = 3 * DAY
    span: float = 30 * DAY
    report: float = 600.0
    seed: str = "1"


@dataclass(frozen=True)
class Rollout:
    """The schedule of a release, and when it stops by itself: `unhealthy` (0 to 1) of at least `reports` nodes."""

    schedule: Schedule
    unhealthy: float
    reports: int


@dataclass(frozen=True)
class Bad:
    """A release that does not come up on `share` (0 to 1) of the nodes. A person stops it after `found` seconds, if it
    has not stopped by itself; the good release follows `fix` seconds after the stop, by `schedule`.
    """

    share: float
    fix: float
    schedule: Schedule
    found: float | None = None


class Point(BaseModel):
    """Nodes that had begun by a time, in days since the first release."""

    model_config = ConfigDict(frozen=True)

    day: float
    planned: int
    first: int
    good: int


class Times(BaseModel):
    """Days after its release at which these shares of all nodes had it; None: not within the time looked at."""

    model_config = ConfigDict(frozen=True)

    half: float | None
    ninety: float | None
    ninety_nine: float | None
    all: float | None


class Outcome(BaseModel):
    """What became of the fleet.

    `reached` nodes began the first release, `failed` of them did not come up with it and fell back; it stopped at
    `stopped_day`, because of `stopped_by` ("reports" or "a person"). `good` are the nodes with a good release at the
    end, and `times` how long that took.
    """

    model_config = ConfigDict(frozen=True)

    format: int = 1
    nodes: int
    days: float
    reached: int
    failed: int
    stopped_day: float | None
    stopped_by: str | None
    good_day: float
    good: int
    times: Times
    curve: tuple[Point, ...]


def simulate(
    fleet: Fleet, rollout: Rollout, *, days: float, bad: Bad | None = None, tell: Callable[[int], None] | None = None
) -> Outcome:
    """Run it. `tell` is called with numbers of nodes that add up to those of the fleet, for each release."""
    horizon = days * DAY
    first = _times(fleet, "1", rollout.schedule, begun=0.0, tell=tell)
    fails = [bad is not None and _draws(fleet.seed, number, "health")[0] < bad.share for number in range(fleet.nodes)]
    stopped, reason = (math.inf, None) if bad is None else _stop(first, fails, fleet, rollout, bad)
    reached = [number for number in range(fleet.nodes) if first[number] < min(stopped, horizon)]
    if bad is None or reason is None or stopped >= horizon:
        released, reason = 0.0, None
        good = _within((first[number] for number in reached if not fails[number]), horizon)
    else:
        released = stopped + bad.fix
        second = _times(fleet, "2", bad.schedule, begun=released, tell=tell) if released < horizon else array("d")
        good = _within(second, horizon)
    return Outcome(
        nodes=fleet.nodes,
        days=days,
        reached=len(reached),
        failed=sum(fails[number] for number in reached),
        stopped_day=stopped / DAY if reason else None,
        stopped_by=reason,
        good_day=released / DAY,
        good=len(good),
        times=_shares(good, fleet.nodes, released),
        curve=_curve(horizon, fleet.nodes, rollout.schedule, _within(first, min(stopped, horizon)), good),
    )


def _draws(seed: str, number: int, what: str) -> tuple[float, ...]:
    """Eight numbers, uniform in [0, 1), that belong to a node."""
    digest = hashlib.sha256(f"{seed} {number} {what}".encode()).digest()
    return tuple(int.from_bytes(digest[place : place + 4], "big") / _UNIT for place in range(0, 32, 4))


def _times(
    fleet: Fleet, release: str, schedule: Schedule, *, begun: float, tell: Callable[[int], None] | None
) -> array[float]:
    """When each node restarts into the release, in seconds; by the node's number."""
    out = array("d", bytes(8 * fleet.nodes))
    for number in range(fleet.nodes):
        turn = begun + schedule.turn(position(f"{fleet.seed}/{number}", release))
        out[number] = _restart(turn, fleet, _draws(fleet.seed, number, "life"))
        if tell and (number + 1) % _TOLD == 0:
            tell(_TOLD)
    if tell:
        tell(fleet.nodes % _TOLD)
    return out


def _restart(turn: float, fleet: Fleet, draws: tuple[float, ...]) -> float:
    """The first moment from `turn` on at which the node is on, has asked for news, and may restart."""
    zone_draw, phase, away, begin, length, *_ = draws
    shift = math.floor(zone_draw * 24) * HOUR if fleet.zones else 0.0
    off = on = 0.0
    if away < fleet.away:
        off = begin * fleet.span
        on = off - math.log(1.0 - length) * fleet.away_seconds
    when = turn
    while True:
        if off <= when < on:
            when = on
        asked = _asks(when, fleet.poll, phase)
        allowed = _allowed(asked, fleet.window, shift)
        if not off <= allowed < on:
            return allowed
        when = on


def _asks(when: float, poll: float, phase: float) -> float:
    """The node's first question at or after `when`: it asks at fixed times of its own."""
    return (math.ceil(when / poll - phase) + phase) * poll


def _allowed(when: float, window: tuple[int, int] | None, shift: float) -> float:
    """The first moment at or after `when` that lies in the window of the node's own day, which may pass midnight."""
    if window is None:
        return when
    begin, end = window[0] * HOUR, window[1] * HOUR
    local = (when + shift) % DAY
    inside = begin <= local < end if begin < end else local >= begin or local < end
    return when if inside else when + (begin - local) % DAY


def _stop(first: array[float], fails: list[bool], fleet: Fleet, rollout: Rollout, bad: Bad) -> tuple[float, str | None]:
    """When the first release stops, and why: by the reports, or by a person; (infinity, None) for never."""
    person = math.inf if bad.found is None else bad.found
    unhealthy = 0
    order = sorted(range(fleet.nodes), key=first.__getitem__)
    for seen, number in enumerate(order, start=1):
        time = first[number] + fleet.report
        if time >= person:
            break
        unhealthy += fails[number]
        if seen >= rollout.reports and unhealthy > rollout.unhealthy * seen:
            return time, "reports"
    return person, None if math.isinf(person) else "a person"


def _within(times: Iterable[float], end: float) -> array[float]:
    return array("d", sorted(time for time in times if time < end))


def _shares(ordered: array[float], nodes: int, begun: float) -> Times:
    def after(share: float) -> float | None:
        found = quantile(ordered, share, nodes)
        return None if found is None else (found - begun) / DAY

    return Times(half=after(0.5), ninety=after(0.9), ninety_nine=after(0.99), all=after(1.0))


def _curve(
    horizon: float, nodes: int, schedule: Schedule, first: array[float], good: array[float]
) -> tuple[Point, ...]:
    return tuple(
        Point(
            day=time / DAY,
            planned=round(schedule.share(time) * nodes),
            first=counted(first, time),
            good=counted(good, time),
        )
        for time in _moments(horizon)
    )


def quantile(ordered: Sequence[float], share: float, total: int) -> float | None:
    """The time by which `share` of `total` had come, of the ascending times of those that came; None if too few did."""
    needed = max(1, math.ceil(share * total))
    return ordered[needed - 1] if needed <= len(ordered) else None


def counted(ordered: Sequence[float], time: float) -> int:
    """How many of the ascending times are before `time`."""
    return bisect_left(ordered, time)


def _moments(horizon: float) -> Iterator[float]:
    for index in range(_POINTS + 1):
        yield horizon * index / _POINTS
