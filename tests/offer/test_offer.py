# SPDX-License-Identifier: Apache-2.0
"""What a record means: the order of versions, ways over floors, turns and pauses, and what is no record."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from securesystemslib.formats import encode_canonical

from zaffre.offer import Record, newer, position, stranded, version_key, way
from zaffre.offer.version import compare_versions
from zaffre.sandbox import Sandbox

POOL = f"pool/{'0' * 64}/root.erofs"
BEGIN = datetime(2026, 11, 26, 8, 0, tzinfo=UTC)
ORDER = [
    "1~rc1",
    "1",
    "1-1",
    "1^2",
    "1.0~a",
    "1.0",
    "1.0.1",
    "1.2",
    "1.2a",
    "1.9",
    "1.10",
    "1.20261126.1",
    "1.20261126.10",
    "2",
]

VERSIONS = st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,3}){0,2}([~^-][a-z0-9]{1,3})?", fullmatch=True)


@dataclass(frozen=True)
class Offer:
    version: str
    floor: str | None = None
    revoked: object | None = None


def record(**changes: Any) -> dict[str, Any]:
    return {
        "format": 1,
        "image": "host",
        "architecture": "amd64",
        "version": "1.2",
        "created": "2026-11-26T08:00:00Z",
        "profile": "release",
        "floor": "1.1",
        "rollout": {
            "name": "standard",
            "begin": "2026-11-26T08:00:00Z",
            "steps": [{"share": 100_000, "until": 3600}, {"share": 1_000_000, "until": 86400}],
            "halt": {"unhealthy": 50_000, "reports": 20},
        },
        "files": {"root.erofs": POOL},
        "evidence": {"report": "0" * 64, "checked": "2026-11-26T07:00:00Z", "held": 20, "machine": "tcg"},
        **changes,
    }


def test_versions_are_in_the_order_of_the_specification() -> None:
    assert sorted(set(ORDER), key=version_key) == ORDER
    assert compare_versions("1.0", "1.00") == 0
    assert compare_versions("1.2", "1.2.0") == -1


@given(VERSIONS, VERSIONS, VERSIONS)
def test_the_order_is_one(a: str, b: str, c: str) -> None:
    assert compare_versions(a, b) == -compare_versions(b, a)
    if compare_versions(a, b) <= 0 and compare_versions(b, c) <= 0:
        assert compare_versions(a, c) <= 0


@pytest.mark.tools
def test_systemd_orders_them_so_too(tools_sandbox: Sandbox) -> None:
    """By systemd-analyze(1) of the locked tools, each version with the next two."""
    for index, one in enumerate(ORDER):
        for other in ORDER[index + 1 : index + 3]:
            tools_sandbox.run(["systemd-analyze", "compare-versions", one, "lt", other], timeout=20.0)


def offers(highest: int) -> st.SearchStrategy[list[Offer]]:
    """Releases 1 to n, each with a floor below it or none, some revoked."""

    def one(number: int) -> st.SearchStrategy[Offer]:
        floor = st.none() if number == 1 else st.one_of(st.none(), st.integers(1, number - 1).map(str))
        return st.builds(Offer, st.just(str(number)), floor, st.sampled_from([None, None, None, "bad"]))

    return st.integers(1, highest).flatmap(lambda count: st.tuples(*map(one, range(1, count + 1))).map(list))


@given(offers(9), st.integers(0, 9))
def test_a_way_only_rises_meets_each_floor_and_ends_where_nothing_is_newer(found: list[Offer], start: int) -> None:
    have = start
    for step in way(found, str(start)):
        offer = next(one for one in found if one.version == step)
        assert offer.revoked is None
        assert int(step) > have
        assert offer.floor is None or int(offer.floor) <= have
        have = int(step)
    assert newer(found, str(have)) == []


@given(offers(7), st.integers(0, 7))
def test_no_other_way_leads_further(found: list[Offer], start: int) -> None:
    reached, ahead = {start}, [start]
    while ahead:
        have = ahead.pop()
        for one in newer(found, str(have)):
            if int(one.version) not in reached:
                reached.add(int(one.version))
                ahead.append(int(one.version))
    assert max(reached) == int((way(found, str(start)) or (str(start),))[-1])


def test_who_is_cut_off_is_named() -> None:
    found = [Offer("1"), Offer("2", revoked="bad"), Offer("3", floor="2")]
    assert stranded(found, ["1", "2", "3", "4"]) == ("1",)
    assert stranded([Offer("1", revoked="bad")], ["1"]) == ()
    assert way([Offer("1"), Offer("2"), Offer("3", floor="2")], "1") == ("2", "3")
    assert way([Offer("1"), Offer("2")], "2") == ()


def test_a_record_survives_canonical_json_as_it_is() -> None:
    """Over which TUF signs, and which has no fractions."""
    made = Record.model_validate(record(revoked={"at": "2026-11-27T00:00:00Z", "reason": "it is bad"}))
    text = encode_canonical(made.model_dump(mode="json", exclude_none=True))
    assert Record.model_validate(json.loads(text)) == made


def test_a_newer_writer_s_fields_are_left_alone_and_a_newer_format_is_not_guessed_at() -> None:
    assert Record.model_validate(record(colour="blue")).version == "1.2"
    with pytest.raises(ValidationError, match="format"):
        Record.model_validate(record(format=2))


@pytest.mark.parametrize(
    "changes",
    [
        {"version": "../1"},
        {"version": ""},
        {"image": "Host"},
        {"files": {}},
        {"files": {"a/b": POOL}},
        {"files": {"uki.efi": POOL}},
        {"files": {"root.erofs": "stable/root.erofs"}},
        {"files": {"root.erofs": f"pool/../{'0' * 64}/root.erofs"}},
        {"created": "2026-11-26T08:00:00"},
        {"created": "2026-11-26T08:00:00.5Z"},
        {"created": "2026-11-26T08:00:00+02:00"},
        {"floor": "a b"},
        {"root_hash": "x"},
        {"rollout": {**record()["rollout"], "steps": [{"share": 10, "until": 1}]}},
        {"rollout": {**record()["rollout"], "steps": [{"share": 10, "until": 2}, {"share": 1_000_000, "until": 1}]}},
        {"evidence": {**record()["evidence"], "held": 0}},
    ],
)
def test_what_is_no_record(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Record.model_validate(record(**changes))


@given(st.text(min_size=1, max_size=20), st.integers(0, 200_000), st.integers(0, 200_000), st.integers(0, 100_000))
def test_a_pause_delays_every_turn_by_its_length_and_no_node_s_turn_is_taken_back(
    node: str, at: int, pause: int, later: int
) -> None:
    plain = Record.model_validate(record()).rollout
    stop = BEGIN + timedelta(seconds=at)
    paused = plain.paused(stop)
    assert paused.paused(stop + timedelta(days=1)) == paused
    end = stop + timedelta(seconds=pause)
    assert paused.has_turn(node, "1.2", end) == plain.has_turn(node, "1.2", stop)
    resumed = paused.resumed(end)
    when = end + timedelta(seconds=later)
    assert resumed.has_turn(node, "1.2", when) == plain.has_turn(node, "1.2", when - timedelta(seconds=pause))
    assert plain.has_turn(node, "1.2", BEGIN + timedelta(days=1))
    assert plain.elapsed(BEGIN - timedelta(seconds=1)) < 0
    assert 0 <= position(node, "1.2") < 1
