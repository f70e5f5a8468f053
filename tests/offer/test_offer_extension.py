# SPDX-License-Identifier: Apache-2.0
"""What a node decides about an extension, case by case; and in any sequence of releases, clocks and failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_offer_decision import BEGIN, DAY, EVENTS, LATE, offer, paused, revoked

from zaffre.offer import Carried, Move, Policy, Record, Window, decide_extension

NONE = Carried("node-1")
HAS = replace(NONE, newest="1", there=True)
GONE = replace(NONE, newest="1")
NEEDED = replace(HAS, needed=True)


@pytest.mark.parametrize(
    ("mine", "offers", "move", "version", "words"),
    [
        (NONE, [], Move.STAY, None, "the channel offers none"),
        (NONE, [offer("1")], Move.TAKE, "1", "the newest whose turn has come"),
        (NONE, [offer("2", floor="1")], Move.TAKE, "2", "the newest"),
        (NONE, [revoked(offer("1"))], Move.STAY, None, "all that could be taken is revoked"),
        (replace(NONE, blessed=False), [offer("1")], Move.WAIT, None, "not blessed yet"),
        (HAS, [offer("1")], Move.STAY, None, "1 is laid over, and nothing newer"),
        (HAS, [offer("0.9")], Move.STAY, None, "1 is laid over"),
        (HAS, [offer("1"), offer("2"), offer("3")], Move.TAKE, "3", "the newest"),
        (HAS, [offer("2"), offer("3", begin=LATE)], Move.TAKE, "2", "the newest whose turn has come"),
        (HAS, [offer("2"), offer("3", floor="2")], Move.TAKE, "2", "the newest"),
        (HAS, [offer("3", floor="2")], Move.STAY, None, "nothing newer can be taken"),
        (HAS, [offer("2", begin=LATE)], Move.WAIT, "2", "the turn of this node for 2"),
        (HAS, [paused(offer("2"))], Move.WAIT, "2", "is paused"),
        (HAS, [revoked(offer("1"))], Move.REMOVE, "1", "revoked, and nothing newer"),
        (HAS, [revoked(offer("1")), offer("2", begin=LATE)], Move.TAKE, "2", "1, which is laid over, is revoked"),
        (HAS, [revoked(offer("1")), offer("0.9")], Move.REMOVE, "1", "nothing newer"),
        (HAS, [revoked(offer("1")), paused(offer("2"))], Move.REMOVE, "1", "revoked"),
        (NEEDED, [revoked(offer("1"))], Move.STAY, None, "1 is laid over"),
        (NEEDED, [revoked(offer("1")), offer("2", begin=LATE)], Move.TAKE, "2", "is revoked"),
        (GONE, [offer("0.9")], Move.STAY, None, "older than what was here"),
        (GONE, [offer("1")], Move.TAKE, "1", "the newest"),
        (replace(HAS, failed=frozenset({"2"})), [offer("2")], Move.STAY, None, "2 failed here"),
        (replace(HAS, failed=frozenset({"2"})), [offer("2"), offer("3")], Move.TAKE, "3", "the newest"),
    ],
)
def test_cases(mine: Carried, offers: Sequence[Record], move: Move, version: str | None, words: str) -> None:
    found = decide_extension(mine, offers, Policy(), LATE)
    assert (found.move, found.version) == (move, version)
    assert words in found.reason


def test_a_held_node_changes_nothing_and_one_with_a_window_waits_for_it() -> None:
    for offers in ([offer("2")], [revoked(offer("1"))]):
        assert decide_extension(HAS, offers, Policy(held=True), LATE).move is Move.WAIT
        waits = decide_extension(HAS, offers, Policy(window=Window.parse("22:30-04:00")), LATE)
        assert (waits.move, waits.until) == (Move.WAIT, LATE.replace(hour=22, minute=30))
        assert "the window opens at 2026-11-28 22:30 UTC" in waits.reason


def test_it_waits_until_its_turn_and_not_a_second_longer() -> None:
    found = decide_extension(HAS, [offer("2")], Policy(), BEGIN)
    assert found.until is not None
    assert BEGIN < found.until <= BEGIN + DAY
    assert decide_extension(HAS, [offer("2")], Policy(), found.until - timedelta(seconds=2)).move is Move.WAIT
    assert decide_extension(HAS, [offer("2")], Policy(), found.until + timedelta(seconds=2)).move is Move.TAKE


@dataclass
class Life:
    """An extension of a node and its channel over time; what a node must never do is looked for at each step."""

    mine: Carried = NONE
    offers: list[Record] = field(default_factory=list)
    now = BEGIN
    policy: Policy = field(default_factory=Policy)

    def step(self, *, proves: bool) -> Move:
        found = decide_extension(self.mine, self.offers, self.policy, self.now)
        assert found.reason
        if found.move in {Move.TAKE, Move.REMOVE}:
            assert self.mine.blessed
            assert self.policy.window is None or self.policy.window.open(self.now)
        if found.move is Move.TAKE:
            one = next(one for one in self.offers if one.version == found.version)
            assert one.revoked is None
            assert one.version not in self.mine.failed
            have = int(self.mine.newest or 0)
            assert int(one.version) > have or (int(one.version) == have and not self.mine.there)
            assert one.floor is None or not self.mine.there or int(one.floor) <= have
            if proves:
                self.mine = replace(self.mine, newest=one.version, there=True)
            else:
                self.mine = replace(self.mine, failed=self.mine.failed | {one.version})
        if found.move is Move.REMOVE:
            assert not self.mine.needed
            assert any(one.version == self.mine.newest and one.revoked for one in self.offers)
            self.mine = replace(self.mine, there=False)
        return found.move


@given(needed=st.booleans(), events=st.lists(EVENTS, max_size=40))
def test_whatever_happens_it_never_goes_back_and_is_never_stuck(*, needed: bool, events: list[tuple]) -> None:
    life = Life(replace(NONE, needed=needed))
    for kind, *values in events:
        index = values[0] % len(life.offers) if life.offers and kind in {"revoke", "toggle"} else None
        moment = life.now.replace(microsecond=0)
        match kind:
            case "release":
                begin = moment + timedelta(hours=values[1])
                floor = str(values[0]) if 0 < values[0] <= len(life.offers) else None
                life.offers.append(offer(str(len(life.offers) + 1), floor=floor, begin=begin))
            case "revoke" if index is not None:
                life.offers[index] = revoked(life.offers[index])
            case "toggle" if index is not None:
                one = life.offers[index]
                changed = one.rollout.resumed(moment) if one.rollout.stopped else one.rollout.paused(moment)
                life.offers[index] = one.model_copy(update={"rollout": changed})
            case "clock":
                life.now += timedelta(days=values[0])
            case "order":
                life.mine = replace(life.mine, blessed=not life.mine.blessed)
            case "window":
                life.policy = Policy(window=Window.parse("02:00-03:00") if values[0] else None)
            case "look":
                life.step(proves=values[0])

    # From here on all is well: the clock is right, nothing is paused, and what is taken proves itself.
    life.mine = replace(life.mine, blessed=True)
    life.policy = Policy()
    life.now = BEGIN + timedelta(days=20_000)
    life.offers = [
        one.model_copy(update={"rollout": one.rollout.resumed(life.now.replace(microsecond=0))}) for one in life.offers
    ]
    life.now += timedelta(days=20_000)
    for _ in range(len(life.offers) + 2):
        life.step(proves=True)
    assert life.step(proves=True) is Move.STAY
    good = [int(one.version) for one in life.offers if one.revoked is None and one.version not in life.mine.failed]
    assert life.mine.there or not [one for one in good if one >= int(life.mine.newest or 0)]
    revoked_now = {one.version for one in life.offers if one.revoked}
    assert needed or not life.mine.there or life.mine.newest not in revoked_now
