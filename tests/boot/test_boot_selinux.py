# SPDX-License-Identifier: Apache-2.0
"""The container host with SELinux, booted: nothing of its own is refused anything, and a container is; nor is the agent
that follows a channel, from version to version.
"""

from __future__ import annotations

import json

import pytest

from support.following import publishing
from support.lab import Lab
from zaffre.machine.judge_selinux import denials_of

EXTENSION, AGENT = "check", "agent"
ANOTHER = {"usr/share/doc/zaffre-agent/version": "another one\n"}

pytestmark = [pytest.mark.boot, pytest.mark.long, pytest.mark.xdist_group("boot")]


def test_an_enforcing_host_does_all_its_work_and_holds_a_container(lab: Lab) -> None:
    lab.build("container-host")
    done = lab.zaffre("check", "container-host", "--out", str(lab.out), "--json", check=False)
    assert done.stdout, done.stderr
    lines = {line["name"]: line for line in json.loads(done.stdout)["lines"]}
    assert {name: line["found"] for name, line in lines.items() if line["verdict"] == "failed"} == {}
    assert lines["selinux"]["found"] == "enforcing, no denials"
    assert lines["container-confined"]["found"] == "refused, as container_t:s0:c11,c12"
    assert {"health", "container", "var-grows", "secure-boot"} <= lines.keys()


def test_an_enforcing_host_follows_its_channel(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With an extension beside it, and an agent that is newer than the one that the image brought."""
    root = tmp_path_factory.mktemp("selinux-follow")
    with publishing(lab, root) as publisher:
        build_extension = publisher.versions.build_extension
        first, second = publisher.versions.build(0), publisher.versions.build(1)
        publisher.release(first)
        with publisher.node(first) as node:
            node.until("the first version is blessed, and nothing newer offered", lambda: node.stays_at(first))
            publisher.release(build_extension(EXTENSION, 1))
            publisher.release(build_extension(AGENT, 1, ANOTHER, tree="agent"))
            node.until("it lays both over its host", lambda: node.laid_over() == [EXTENSION, AGENT])
            publisher.release(second)
            node.until("it goes to the second by itself", lambda: node.stays_at(second))
    assert node.story.boots == [first.name, second.name]
    for told in node.story.told:
        assert told["enforcing"] == "1"
        assert told["failed"] == ""
        assert list(denials_of(told["denials"])) == []
    last = node.story.told[-1]
    # What the first boot refused between its last word and its end, the restart's among it.
    assert list(denials_of(last["denials-before"])) == []
    extensions = json.loads(last["status"])["extensions"]
    assert [(one["name"], one["version"], one["merged"]) for one in extensions] == [
        (EXTENSION, second.name, True),
        (AGENT, second.name, True),
    ]
