# SPDX-License-Identifier: Apache-2.0
"""One machine that is updated in its second slot: to a good version, to one that is not healthy, to one that panics."""

from __future__ import annotations

import json

import pytest

from support.lab import Lab
from support.updates import Story, Version, Versions

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot-update")]

Played = tuple[Story, tuple[Version, ...]]


@pytest.fixture(scope="module")
def played(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Played:
    made = Versions(lab, tmp_path_factory.mktemp("update"))
    versions = (
        made.build(0),
        made.build(1),
        made.build(2, {"usr/lib/zaffre/health.d/broken": "#!/bin/sh\nexit 3\n"}),
        made.build(3, words=("rdinit=/nowhere",)),
    )
    return made.played(versions[0], versions[1:]), versions


def test_each_version_runs_until_a_better_one_does(played: Played) -> None:
    story, (first, second, unhealthy, _) = played
    assert story.ended, story.console[-3000:].decode(errors="replace")
    # The one that panics comes up nowhere; both that failed were tried three times, and then the second one again.
    assert story.boots == [one.name for one in (first, second, *[unhealthy] * 3, second, second)]
    assert story.console.count(b"Kernel panic") >= 3


def test_a_good_version_is_blessed(played: Played) -> None:
    story, (first, second, *_) = played
    for told, version in zip(story.told, (first, second), strict=False):
        assert told["state"].split() == ["active"] * 3
        assert f"{version.entry}.efi" in told["entries"].split(), "the count is gone"
        verdict = json.loads(told["verdict"])
        assert (verdict["version"], verdict["trial"], verdict["healthy"]) == (version.name, True, True)
        assert [one["name"] for one in verdict["checks"]] == ["root", "var", "containerd", "network"]
    assert set(story.told[0]["staged"].split()) == {f"{first.entry}.efi", f"{second.entry}+3-0.efi"}


def test_the_version_before_stays_until_the_next_one_is_written(played: Played) -> None:
    story, (first, second, unhealthy, _) = played
    assert f"{first.entry}.efi" in story.told[1]["entries"].split()
    assert set(story.told[1]["staged"].split()) == {f"{second.entry}.efi", f"{unhealthy.entry}+3-0.efi"}


def test_what_failed_is_left_by_itself_and_remembered(played: Played) -> None:
    story, (_, second, unhealthy, panics) = played
    after_unhealthy, after_panics = story.told[-2:]
    assert set(after_unhealthy["entries"].split()) == {f"{second.entry}.efi", f"{unhealthy.entry}+0-3.efi"}
    assert after_unhealthy["bad"].split() == [unhealthy.name]
    verdict = json.loads(after_unhealthy["verdict"])
    assert (verdict["trial"], verdict["healthy"]) == (False, True)
    assert set(after_panics["entries"].split()) == {f"{second.entry}.efi", f"{panics.entry}+0-3.efi"}
    assert set(after_panics["bad"].split()) == {unhealthy.name, panics.name}
