# SPDX-License-Identifier: Apache-2.0
"""Ratios are of pairs, limits are judged, and the tables say what was measured."""

import json

import pytest
from figures import HEADERS, Figure, Limit, Unit, markdown, plain, rows, shown, table


def seconds(*ours: float, theirs: tuple[float, ...] = (), limit: Limit | None = None) -> Figure:
    return Figure("a build", Unit.SECONDS, ours, "a peer" if theirs else None, theirs, limit)


def test_the_ratio_is_the_median_of_the_pairs_and_not_of_the_medians():
    figure = seconds(1.0, 9.0, 3.0, theirs=(10.0, 30.0, 10.0))
    assert figure.value == 3.0
    assert figure.other == 10.0
    assert figure.ratio == pytest.approx(0.3)
    # A ratio of medians differs as soon as the machine is slow for a while.
    assert seconds(1.0, 8.0, 9.0, theirs=(10.0, 10.0, 90.0)).ratio == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("ours", "theirs", "limit", "held"),
    [
        (4.0, 10.0, Limit(ratio=0.4), True),
        (4.1, 10.0, Limit(ratio=0.4), False),
        (4.1, 10.0, None, None),
        (1.0, None, Limit(value=1.0), True),
        (1.0, None, Limit(value=1.0, strict=True), False),
        (0.9, None, Limit(value=1.0, strict=True), True),
        (0.9, None, Limit(ratio=0.5), False),  # without a peer there is nothing that could hold it
    ],
)
def test_a_limit_is_held_or_missed(ours, theirs, limit, held):
    assert seconds(ours, theirs=(theirs,) if theirs else (), limit=limit).held is held


def test_values_come_in_pairs():
    with pytest.raises(ValueError, match="pairs"):
        seconds(1.0, 2.0, theirs=(1.0,))
    with pytest.raises(ValueError, match="there must be some"):
        seconds()


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.41234, Unit.SECONDS, "0.412 s"),
        (0.99999, Unit.SECONDS, "1.00 s"),
        (9.87, Unit.SECONDS, "9.87 s"),
        (9.996, Unit.SECONDS, "10.0 s"),
        (84.12, Unit.SECONDS, "84.1 s"),
        (99.96, Unit.SECONDS, "100 s"),
        (82_300_000, Unit.BYTES, "82.3 MB"),
        (105_000_000, Unit.BYTES, "105 MB"),
    ],
)
def test_three_digits_count(value, unit, words):
    assert shown(value, unit) == words


FIGURES = [
    Figure("size", Unit.BYTES, (82.3e6,), limit=Limit(value=105e6)),
    Figure("one file changed", Unit.SECONDS, (3.9,), "mkosi", (70.0,), Limit(ratio=0.05)),
    Figure("nothing changed", Unit.SECONDS, (0.4,), limit=Limit(value=1.0, strict=True)),
    Figure("memory", Unit.BYTES, (4e8,), "mkosi", (3e8,)),
]


def test_a_row_says_value_peer_ratio_limit_and_verdict():
    assert rows(FIGURES) == [
        ("size", "82.3 MB", "", "", "", "≤ 105 MB", "held"),
        ("one file changed", "3.90 s", "70.0 s", "mkosi", "0.056", "≤ 0.05", "MISSED"),
        ("nothing changed", "0.400 s", "", "", "", "< 1 s", "held"),
        ("memory", "400 MB", "300 MB", "mkosi", "1.33", "", ""),
    ]


def test_the_table_is_aligned():
    lines = table(FIGURES).splitlines()
    assert len(lines) == 1 + len(FIGURES)
    end = lines[0].index("Zaffre") + len("Zaffre")
    assert all(line[end - 1] in "se B" or line[:end].endswith(("s", "B")) for line in lines)
    assert " ".join(lines[2].split()) == "one file changed 3.90 s 70.0 s mkosi 0.056 ≤ 0.05 MISSED"


def test_markdown_has_a_cell_for_each_column():
    lines = markdown(FIGURES).splitlines()
    assert all(line.count("|") == len(HEADERS) + 1 for line in lines)
    assert set(lines[1]) <= set("|-: ")


def test_json_keeps_every_measured_value():
    assert json.loads(json.dumps(plain(FIGURES[1:2]))) == [
        {
            "title": "one file changed",
            "unit": "seconds",
            "zaffre": [3.9],
            "peer": "mkosi",
            "peer_values": [70.0],
            "ratio": pytest.approx(3.9 / 70),
            "most_ratio": 0.05,
            "most_value": None,
            "held": False,
        }
    ]
