# SPDX-License-Identifier: Apache-2.0
"""What a node decides, case by case with its words; and in any sequence of releases, clocks and failures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zaffre.offer import Act, Node, Policy, Record, Revocation, Window, decide, way

BEGIN = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
DAY = timedelta(days=1)
LATE = BEGIN + 2 * DAY
"""When every node has had its turn."""
NODE = Node("node-1", "1")


def offer(version: str, *, floor: str | None = None, begin: datetime = BEGIN) -> Record:
    return Record.model_validate(
        {
            "image": "host",
            "architecture": "amd64",
            "version": version,
            "created": begin,
            "profile": "release",
            "floor": floor,
            "rollout": {
                "name": "standard",
                "begin": begin,
                "steps": [{"share": 1_000_000, "until": 86_400}],
                "halt": {"unhealthy": 50_000, "reports": 20},
            },
            "files": {"uki.efi": f"pool/{'0' * 64}/uki.efi"},
            "evidence": {"report": "0" * 64, "checked": begin, "held": 20, "machine": "tcg"},
        }
    )


def revoked(one: Record) -> Record:
    return one.model_copy(update={"revoked": Revocation(at=BEGIN, reason="it is bad")})


def paused(one: Record) -> Record:
    return one.model_copy(update={"rollout": one.rollout.paused(BEGIN)})


STAGED = replace(NODE, staged="2")


@pytest.mark.parametrize(
    ("node", "offers", "act", "version", "words"),
    [
        (NODE, [], Act.STAY, None, "nothing newer is offered"),
        (NODE, [offer("1")], Act.STAY, None, "nothing newer is offered"),
        (replace(NODE, blessed=False), [offer("2")], Act.WAIT, "1", "not blessed yet"),
        (replace(STAGED, blessed=False), [offer("2")], Act.WAIT, "1", "not blessed yet"),
        (NODE, [offer("2")], Act.STAGE, "2", "the newest"),
        (NODE, [offer("2"), offer("3")], Act.STAGE, "3", "the newest"),
        (NODE, [offer("2"), offer("3", floor="2")], Act.STAGE, "2", "the newest that this node can come to"),
        (NODE, [offer("2"), offer("3", begin=LATE)], Act.STAGE, "2", "unlike that of 3"),
        (NODE, [offer("2"), paused(offer("3"))], Act.STAGE, "2", "unlike that of 3"),
        (NODE, [paused(offer("2"))], Act.WAIT, "2", "is paused"),
        (NODE, [offer("3", floor="2")], Act.STAY, None, "no way leads from 1 to 3 (floor 2)"),
        (NODE, [revoked(offer("2"))], Act.STAY, None, "all that is newer is revoked"),
        (NODE, [revoked(offer("1"))], Act.STAY, None, "1, which runs, is revoked, but nothing newer is offered"),
        (NODE, [revoked(offer("1")), offer("2", begin=LATE)], Act.STAGE, "2", "1, which runs, is revoked"),
        (replace(NODE, failed=frozenset({"2"})), [offer("2")], Act.STAY, None, "2 did not come up here"),
        (replace(NODE, failed=frozenset({"2"})), [offer("2"), offer("3")], Act.STAGE, "3", "the newest"),
        (replace(NODE, failed=frozenset({"2"}), ordered="2"), [offer("2")], Act.STAGE, "2", "ordered"),
        (replace(NODE, ordered="2"), [offer("2"), offer("3")], Act.STAGE, "2", "ordered"),
        (replace(NODE, ordered="2"), [paused(offer("2"))], Act.STAGE, "2", "ordered"),
        (replace(NODE, ordered="2"), [revoked(offer("2"))], Act.STAY, None, "revoked"),
        (replace(STAGED, ordered="2"), [offer("2"), offer("3")], Act.RESTART, "2", "ordered"),
        (STAGED, [offer("2")], Act.RESTART, "2", "2 is staged, and 1 runs"),
        (STAGED, [offer("2"), offer("3")], Act.RESTART, "2", "2 is staged"),
        (STAGED, [], Act.DROP, "2", "no longer offered"),
        (STAGED, [revoked(offer("2")), offer("3")], Act.DROP, "2", "revoked: it is bad"),
        (STAGED, [offer("2", floor="1.5")], Act.DROP, "2", "floor is 1.5"),
        (STAGED, [paused(offer("2"))], Act.WAIT, "2", "is paused"),
        (replace(STAGED, running="2"), [offer("2")], Act.DROP, "2", "not newer than 2"),
        (replace(STAGED, failed=frozenset({"2"})), [offer("2")], Act.DROP, "2", "did not come up here"),
    ],
)
def test_cases(node: Node, offers: Sequence[Record], act: Act, version: str | None, words: str) -> None:
    found = decide(node, offers, Policy(), LATE)
    assert (found.act, found.version) == (act, version)
    assert words in found.reason


def test_a_held_node_stays_and_drops_what_is_not_offered_any_more() -> None:
    held = Policy(held=True)
    assert decide(NODE, [offer("2")], held, LATE).reason == "the owner holds this node where it is"
    assert decide(replace(STAGED, ordered="2"), [offer("2")], held, LATE).act is Act.WAIT
    assert decide(STAGED, [], held, LATE).act is Act.DROP


def test_it_waits_until_its_turn_and_not_a_second_longer() -> None:
    found = decide(NODE, [offer("2")], Policy(), BEGIN)
    assert (found.act, found.version) == (Act.WAIT, "2")
    assert "by the schedule 'standard'" in found.reason
    assert found.until is not None
    assert BEGIN < found.until <= BEGIN + DAY
    assert decide(NODE, [offer("2")], Policy(), found.until - timedelta(seconds=2)).act is Act.WAIT
    assert decide(NODE, [offer("2")], Policy(), found.until + timedelta(seconds=2)).act is Act.STAGE


def test_it_restarts_within_its_window_alone_and_takes_what_is_newer_meanwhile() -> None:
    policy = Policy(window=Window.parse("22:30-04:00"))
    found = decide(STAGED, [offer("2")], policy, LATE)
    assert (found.act, found.until) == (Act.WAIT, LATE.replace(hour=22, minute=30))
    assert "opens at 2026-11-28 22:30 UTC" in found.reason
    assert decide(STAGED, [offer("2")], policy, LATE.replace(hour=3, minute=59)).act is Act.RESTART
    newer = decide(STAGED, [offer("2"), offer("3")], policy, LATE)
    assert (newer.act, newer.version) == (Act.STAGE, "3")
    ordered = replace(STAGED, ordered="2")
    assert decide(ordered, [offer("2")], policy, LATE).act is Act.RESTART


@given(st.integers(0, 1439), st.integers(1, 1439), st.integers(0, 10**6))
def test_a_window_is_open_for_its_length_and_opens_where_it_says(begin: int, length: int, second: int) -> None:
    window = Window(begin, (begin + length) % 1440)
    now = BEGIN + timedelta(seconds=second)
    opens = window.opens(now)
    assert window.open(opens)
    assert now <= opens < now + DAY
    assert opens == now or not window.open(opens - timedelta(minutes=1))
    assert sum(window.open(BEGIN + timedelta(minutes=minute)) for minute in range(1440)) == length


@pytest.mark.parametrize("text", ["", "22:30", "24:00-01:00", "1:00-2:00", "01:00-01:00", "01:60-02:00"])
def test_what_is_no_window(text: str) -> None:
    with pytest.raises(ValueError, match=r"window|ends when it begins"):
        Window.parse(text)


@dataclass
class Life:
    """A node and its channel over time; what a node must never do is looked for at each step."""

    node: Node = NODE
    offers: list[Record] = field(default_factory=list)
    now: datetime = BEGIN
    policy: Policy = field(default_factory=Policy)
    highest: int = 1

    def release(self, floor: int, begin: int) -> None:
        version = len(self.offers) + 2
        kept = [int(one.version) for one in self.offers if one.revoked is None]
        below = [number for number in kept if number < version]
        chosen = str(below[floor % len(below)]) if below and floor % 3 == 0 else None
        made = offer(str(version), floor=chosen, begin=self.now.replace(microsecond=0) + timedelta(hours=begin))
        if chosen is None or way([*self.offers, made], "1")[-1:] == (str(version),):  # as publishing refuses others
            self.offers.append(made)
        else:
            self.offers.append(offer(str(version), begin=self.now.replace(microsecond=0)))

    def revoke(self, which: int) -> None:
        if self.offers:
            self.offers[which % len(self.offers)] = revoked(self.offers[which % len(self.offers)])

    def toggle(self, which: int) -> None:
        if self.offers:
            index = which % len(self.offers)
            one = self.offers[index]
            moment = self.now.replace(microsecond=0)
            rollout = one.rollout.resumed(moment) if one.rollout.stopped else one.rollout.paused(moment)
            self.offers[index] = one.model_copy(update={"rollout": rollout})

    def step(self, *, comes_up: bool) -> Act:
        """What the agent does with one decision."""
        found = decide(self.node, self.offers, self.policy, self.now)
        node = self.node
        assert found.reason
        if not node.blessed:
            assert found.act is Act.WAIT
            self.node = replace(node, blessed=True)
        elif found.act is Act.STAGE:
            self.allowed(found.version)
            assert found.version != node.staged
            self.node = replace(node, staged=found.version)
        elif found.act is Act.DROP:
            assert found.version == node.staged
            self.node = replace(node, staged=None)
        elif found.act is Act.RESTART:
            assert found.version is not None
            assert found.version == node.staged
            self.allowed(found.version)
            ordered = None if node.ordered == found.version else node.ordered
            if comes_up:
                self.node = Node(node.id, found.version, blessed=False, failed=node.failed, ordered=ordered)
            else:
                self.node = replace(node, staged=None, failed=node.failed | {found.version}, ordered=ordered)
        assert int(self.node.running) >= self.highest
        self.highest = int(self.node.running)
        return found.act

    def allowed(self, version: str | None) -> None:
        one = next(one for one in self.offers if one.version == version)
        assert one.revoked is None
        assert int(one.version) > int(self.node.running)
        assert one.floor is None or int(one.floor) <= int(self.node.running)
        assert one.version not in self.node.failed or one.version == self.node.ordered


EVENTS = st.one_of(
    st.tuples(st.just("release"), st.integers(0, 8), st.integers(-48, 48)),
    st.tuples(st.just("revoke"), st.integers(0, 8)),
    st.tuples(st.just("toggle"), st.integers(0, 8)),
    st.tuples(st.just("clock"), st.integers(-500, 500)),
    st.tuples(st.just("order"), st.integers(1, 9)),
    st.tuples(st.just("window"), st.booleans()),
    st.tuples(st.just("look"), st.booleans()),
    st.tuples(st.just("look"), st.just(True)),
)


@given(st.lists(EVENTS, max_size=40))
def test_whatever_happens_it_never_goes_back_and_is_never_stuck(events: list[tuple]) -> None:
    life = Life()
    for kind, *values in events:
        match kind:
            case "release":
                life.release(*values)
            case "revoke":
                life.revoke(*values)
            case "toggle":
                life.toggle(*values)
            case "clock":
                life.now += timedelta(days=values[0])
            case "order":
                life.node = replace(life.node, ordered=str(values[0]))
            case "window":
                life.policy = Policy(window=Window.parse("02:00-03:00") if values[0] else None)
            case _:
                life.step(comes_up=values[0])

    # From here on all is well: the clock is right, nothing is paused, and what is restarted into comes up.
    life.now = BEGIN + timedelta(days=20_000)
    life.offers = [
        one.model_copy(update={"rollout": one.rollout.resumed(life.now.replace(microsecond=0))}) for one in life.offers
    ]
    life.now += timedelta(days=20_000)
    open_to = [one for one in life.offers if one.version not in life.node.failed or one.version == life.node.ordered]
    goal = (way(open_to, life.node.running) or (life.node.running,))[-1]
    for _ in range(60):
        if life.step(comes_up=True) is Act.WAIT:
            life.now += timedelta(minutes=30)
    assert life.node.running == goal
    assert life.node.blessed
