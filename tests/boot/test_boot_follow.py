# SPDX-License-Identifier: Apache-2.0
"""Hosts that follow a channel by themselves: the story of a fleet's node, from its first version to its fifth."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from support.following import FOLLOWED, Publisher, publishing
from support.lab import Lab
from support.measured import NONCE
from support.updates import Story, Version
from zaffre.measured.quote import key_text, read_bundle
from zaffre.release.attest import attest, known_releases

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot-follow")]

BROKEN = {"usr/lib/zaffre/health.d/broken": "#!/bin/sh\nexit 3\n"}


@dataclass
class Told:
    """`awake` is the node that lives through all of it, `late` one that slept from the first version to the last."""

    versions: tuple[Version, ...]
    awake: Story
    late: Story


@pytest.fixture(scope="module")
def publisher(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Publisher]:
    with publishing(lab, tmp_path_factory.mktemp("follow")) as made:
        yield made


@pytest.fixture(scope="module")
def told(publisher: Publisher) -> Told:
    build, build_extension = publisher.versions.build, publisher.versions.build_extension
    first, second, unhealthy, fourth, fifth = build(0), build(1), build(2, BROKEN), build(3), build(4)
    publisher.release(first)
    with publisher.node(first) as node:
        node.until("the first version is blessed, and nothing newer offered", lambda: node.stays_at(first))
        # An extension, and an agent that is newer than the one that the image brought.
        publisher.release(build_extension(FOLLOWED, 1))
        publisher.release(build_extension("agent", 1, {"usr/share/doc/zaffre-agent/version": "another one\n"}))
        node.until("it lays both over its host", lambda: node.laid_over() == [FOLLOWED, "agent"])
        publisher.release(second)
        node.until("it goes to the second by itself", lambda: node.stays_at(second))
        publisher.release(unhealthy)
        node.until("it tries the third", lambda: node.story.boots[-1] == unhealthy.name)
        node.until("it leaves the third for the second", lambda: node.stays_at(second))
        publisher.release(fourth, floor=second)
        node.until("it goes from the second to the fourth", lambda: node.stays_at(fourth))
        rotate(publisher)
        publisher.release(fifth, floor=second)
        node.until("it goes on by the new keys", lambda: node.stays_at(fifth))
        awake = node.story
    # Nobody else is to try the third.
    publisher.revoke(unhealthy)
    with publisher.node(first) as late:
        late.until("it goes over the second to the fifth", lambda: late.stays_at(fifth))
    return Told((first, second, unhealthy, fourth, fifth), awake, late.story)


def rotate(publisher: Publisher) -> None:
    """Every role gets other keys, and the root too."""
    yard = publisher.yard
    for role in ("timestamp", "snapshot", "targets", "dev"):
        yard.rotate(role, [role], [f"{role}-b"])
    yard.rotate("root", ["root-1"], ["root-4"])


def agent(story: Story, boot: int) -> dict[str, object]:
    found = json.loads(story.told[boot]["status"])
    assert isinstance(found, dict)
    return found


def test_it_goes_from_version_to_version_by_itself(told: Told) -> None:
    first, second, unhealthy, fourth, fifth = (one.name for one in told.versions)
    assert told.awake.boots == [first, second, *[unhealthy] * 3, second, fourth, fifth]
    status = agent(told.awake, -1)
    assert (status["running"], status["blessed"], status["staged"]) == (fifth, True, None)
    assert status["previous"] == [fourth]


def test_files_come_by_deltas_of_what_runs(told: Told) -> None:
    """From the fourth to the fifth: partitions and the ESP are read as they are."""
    brought = agent(told.awake, -1)["brought"]
    assert isinstance(brought, dict)
    assert brought["fell_back"] == {}
    assert {"root.erofs", "uki.efi"} <= set(brought["by_delta"])
    assert brought["fetched"] < 0.1 * brought["whole"]


def test_its_build_holds(publisher: Publisher, told: Told) -> None:
    build = told.versions[0].folder
    lab = publisher.versions.lab
    held = {one["name"] for one in lab.json("verify", str(build))["checks"] if one["ok"]}
    assert "seal of agent.raw" in held
    lab.zaffre("lint", str(build))


def test_its_check_holds(publisher: Publisher, told: Told) -> None:
    """Without which nothing of it could be released. The place that it follows is out of reach there."""
    versions, build = publisher.versions, told.versions[0].folder
    build.with_name(f"{build.name}.check.json").unlink()  # the publisher's own, of a check that never was
    words = ["--distro", str(versions.root / "distro-0")]
    done = versions.lab.zaffre(
        *words, "check", "container-host", "--out", str(versions.root / "out"), "--json", check=False
    )
    assert [one for one in json.loads(done.stdout)["lines"] if one["verdict"] == "failed"] == []
    versions.lab.zaffre(*words, "release", "create", str(build))


def test_each_good_version_was_judged_and_blessed(told: Told) -> None:
    good = [(number, name) for number, name in enumerate(told.awake.boots) if name != told.versions[2].name]
    for number, name in good:
        verdict = json.loads(told.awake.told[number]["verdict"])
        assert (verdict["version"], verdict["healthy"]) == (name, True)
        assert f"zaffre-container-host_{name}.efi" in told.awake.told[number]["entries"].split()


def test_what_failed_is_not_tried_again(told: Told) -> None:
    _, second, unhealthy, *_ = told.versions
    status = agent(told.awake, 5)
    assert (status["running"], status["failed"]) == (second.name, [unhealthy.name])
    assert "is not tried again without an order" in str(status["last"])


def test_a_node_that_slept_goes_over_the_floor(told: Told) -> None:
    first, second, *_, fifth = told.versions
    assert told.late.boots == [first.name, second.name, fifth.name]
    assert agent(told.late, -1)["running"] == fifth.name


def test_the_agent_is_merged_and_nothing_failed(told: Told) -> None:
    for story in (told.awake, told.late):
        for boot in (one for one in story.told if "last" in one):
            assert boot["units"].split() == ["active", "active"]
            assert boot["failed"] == ""
            assert "agent" in boot["merged"]


def test_it_follows_an_extension_and_its_own_agent(told: Told) -> None:
    """Both are laid over each of the later boots, as the channel has them; the node that slept takes them too."""
    second = told.versions[1].name
    for story in (told.awake, told.late):
        status = agent(story, -1)
        extensions = status["extensions"]
        assert isinstance(extensions, list)
        assert [(one["name"], one["version"], one["merged"]) for one in extensions] == [
            (FOLLOWED, second, True),
            ("agent", second, True),
        ]
        assert {FOLLOWED, "agent"} <= set(json.loads(story.told[-1]["merged"])[-1]["extensions"])


def test_nothing_differs_from_the_release(told: Told) -> None:
    for story in (told.awake, told.late):
        found = json.loads(story.told[-1]["drift"])
        assert [one for one in found["found"] if not one["expected"]] == []
        assert ("extension", "agent") in {(one["kind"], one["name"]) for one in found["found"]}


def test_each_boot_is_attested_by_the_machine_s_own_tpm(publisher: Publisher, told: Told) -> None:
    """Also after updates, by which the boot loader stays the one that was installed."""
    yard = publisher.yard
    known = known_releases(yard.place, yard.first)
    first, second, _, fourth, fifth = (one.name for one in told.versions)
    keys = []
    for story, stayed in ((told.awake, {first, second, fourth, fifth}), (told.late, {fifth})):
        quoted = [
            (name, read_bundle(boot["quote"].encode(), name))
            for name, boot in zip(story.boots, story.told, strict=True)
            if "quote" in boot
        ]
        assert {name for name, _ in quoted} == stayed
        keys.append(key_text(quoted[0][1].key))
        for name, evidence in quoted:
            report = attest(evidence, nonce=NONCE, pinned=keys[-1], known=known)
            assert [line for line in report.lines if not line.ok] == []
            assert report.version == name
    assert keys[0] != keys[1], "each TPM has a key of its own"
