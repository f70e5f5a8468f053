# SPDX-License-Identifier: Apache-2.0
"""The power fails while a host updates itself, at points that a seed chooses: it is always in one version or the other,
and gets to the new one. `make soak` tries 20 seeds.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.following import Node, Publisher, publishing
from support.lab import Lab
from support.updates import Version
from zaffre.agent.handover import ORDER

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot-powercut")]

LOG = logging.getLogger(__name__)
FIRST = int(os.environ.get("ZAFFRE_SOAK_FIRST", "0"))
"""The seed to begin with: to look at one again, or to share them out among machines."""
SEEDS = int(os.environ.get("ZAFFRE_SOAK_SEEDS", "1"))
OTHERS = 1_000_000
"""Bytes, about, that a host writes meanwhile besides the files of an update."""
RESTART = 60.0
"""Seconds, about, from the end of the writing to a blessed boot in the new version."""


@dataclass(frozen=True)
class Point:
    """When the power fails: `written` bytes after a publication or the last cut, and `seconds` later."""

    during: str
    written: int
    seconds: float = 0.0


def points(version: Version, chance: random.Random) -> list[Point]:
    """One or two, of any stage of an update. A third cut could use up the tries of a version that is good."""
    sizes = [(version.folder / name).stat().st_size for name in ORDER]
    stages, begin = [("files in /var", 0, sum(sizes))], sum(sizes)
    for name, size in zip(ORDER, sizes, strict=True):
        stages.append((name, begin - OTHERS, begin + size + OTHERS))
        begin += size
    found = [Point(name, chance.randrange(first, last)) for name, first, last in stages]
    found.append(Point("restart and trial", begin, chance.uniform(0.0, RESTART)))
    return chance.sample(found, chance.choice((1, 2)))


@pytest.fixture(scope="module")
def publisher(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with publishing(lab, tmp_path_factory.mktemp("powercut")) as made:
        yield made


def test_a_power_cut_leaves_a_version_that_runs(publisher: Publisher, tmp_path: Path) -> None:
    first = publisher.versions.build(0)
    publisher.release(first)
    with publisher.node(first) as node:
        node.until("the first version is blessed", lambda: node.stays_at(first))
        before = first
        for number, seed in enumerate(range(FIRST, FIRST + SEEDS), 1):
            after = publisher.versions.build(number)
            chance = random.Random(seed)
            publisher.release(after, deltas=chance.choice((0, 1)))
            LOG.info("seed %d: from %s to %s", seed, before.name, after.name)
            cut(node, points(after, chance), before, after, tmp_path)
            if before is not first:  # its disk is what the machine's is laid over
                shutil.rmtree(before.folder)
            before = after


def cut(node: Node, planned: list[Point], before: Version, after: Version, folder: Path) -> None:
    """The first cut of an update damages the ESP besides: most of them do not by themselves."""
    begin = node.written()
    for point in planned:
        go_to(node, point, begin, after)
        boots, did = len(node.story.boots), node.written() - begin
        node.cut_power(folder if point is planned[0] else None)
        begin = 0
        node.until("it boots again", lambda boots=boots: len(node.story.boots) > boots)
        LOG.info(
            "cut in %s, after %.1f MB and %.0f s: %s", point.during, did / 1e6, point.seconds, node.story.boots[-1]
        )
        assert node.story.boots[-1] in {before.name, after.name}
    node.until(f"it comes to {after.name}", lambda: node.stays_at(after))
    told = node.story.told[-1]
    status = json.loads(told["status"])
    assert (status["running"], status["blessed"], status["staged"]) == (after.name, True, None)
    assert status["failed"] == []
    assert told["failed"] == ""
    assert [one for one in json.loads(told["drift"])["found"] if not one["expected"]] == []


def go_to(node: Node, point: Point, begin: int, after: Version) -> None:
    """An update that goes on after a cut writes less: then it is cut when all is done."""
    node.go_on(lambda: node.written() - begin >= point.written or node.stays_at(after), 600, look=0.02)
    node.go_on(lambda: node.stays_at(after), point.seconds, look=0.02)
