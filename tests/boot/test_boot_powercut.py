# SPDX-License-Identifier: Apache-2.0
"""The power fails while a host updates itself, at points that a seed chooses: it is always in one version or the other,
and gets to the new one. `make soak` tries 20 seeds.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator

import pytest

from support.following import Node, Publisher, publishing
from support.lab import Lab
from support.updates import Version

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot-powercut")]

SEEDS = int(os.environ.get("ZAFFRE_SOAK_SEEDS", "2"))
SECONDS = 90.0
"""From a publication to a boot in the new version, about: in this time it looks, downloads, writes and restarts."""


@pytest.fixture(scope="module")
def publisher(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with publishing(lab, tmp_path_factory.mktemp("powercut")) as made:
        yield made


def test_a_power_cut_leaves_a_version_that_runs(publisher: Publisher) -> None:
    first = publisher.versions.build(0)
    publisher.release(first)
    with publisher.node(first) as node:
        node.until("the first version is blessed", lambda: node.stays_at(first))
        before = first
        for seed in range(SEEDS):
            after = publisher.versions.build(seed + 1)
            publisher.release(after)
            cut(node, seed, before, after)
            before = after


def cut(node: Node, seed: int, before: Version, after: Version) -> None:
    """Cut the power once or twice. A third time could use up the tries of a version that is good."""
    chance = random.Random(seed)
    for _ in range(chance.choice((1, 2))):
        node.go_on(chance.uniform(0.0, SECONDS))
        boots = len(node.story.boots)
        node.cut_power()
        node.until(f"seed {seed}: it boots again", lambda boots=boots: len(node.story.boots) > boots)
        assert node.story.boots[-1] in {before.name, after.name}
    node.until(f"seed {seed}: it comes to {after.name}", lambda: node.stays_at(after))
    status = json.loads(node.story.told[-1]["status"])
    assert (status["running"], status["blessed"], status["staged"]) == (after.name, True, None)
    assert status["failed"] == []
    assert node.story.told[-1]["failed"] == ""
