# SPDX-License-Identifier: Apache-2.0
"""A host that follows a channel by itself, in a machine, and the publisher whose place it reads over HTTP.

with publishing(lab, root) as publisher:
    first, second = publisher.versions.build(0), publisher.versions.build(1)
    publisher.release(first)
    with publisher.node(first) as node:
        publisher.release(second)
        node.until("it runs the second", lambda: node.stays_at(second))
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.lab import Lab
from support.mirror import serving
from support.releases import Yard, leave_check, now
from support.updates import Story, Version, Versions
from zaffre.definition import Waves
from zaffre.machine import Machine, Network
from zaffre.release.operate import rollout

CHANNEL = "dev"
_SCRIPT = Path(__file__).with_name("follow.sh")
_AT_ONCE = Waves.model_validate({"steps": [{"share": 100, "until": "1m"}]})
_OUTSIDE = "10.0.2.2"
"""The host's loopback, as a guest of QEMU's user network sees it."""
_SECONDS = 1200.0
_EAGER = b"""\
[Timer]
OnActiveSec=
OnActiveSec=1s
OnUnitInactiveSec=10s
RandomizedDelaySec=0
AccuracySec=1s
"""


@dataclass
class Node:
    """A machine that runs; what it said is in `story`."""

    machine: Machine
    story: Story

    def until(self, what: str, holds: Callable[[], bool], seconds: float = _SECONDS) -> None:
        """Let it run until that holds; fail if it never does."""
        deadline = time.monotonic() + seconds
        while not holds():
            if self.story.ended or time.monotonic() > deadline:
                told = json.dumps(self.story.told[-2:], indent=1)
                console = self.story.console[-2000:].decode(errors="replace")
                pytest.fail(f"not seen: {what}\nboots: {self.story.boots}\n{told}\n{console}")
            for event in self.machine.events(min(deadline, time.monotonic() + 0.5)):
                self.story.take(event)

    def last(self) -> dict[str, object]:
        """The agent's last decision in this boot."""
        said = self.story.told[-1].get("last") if self.story.told else None
        found = json.loads(said) if said else {}
        assert isinstance(found, dict)
        return found

    def stays_at(self, version: Version) -> bool:
        """It runs that, and has looked and found nothing that is better."""
        return self.story.boots[-1:] == [version.name] and self.last().get("act") == "stay"


@dataclass
class Publisher:
    versions: Versions
    yard: Yard

    def release(self, version: Version, *, floor: Version | None = None) -> None:
        """Publish a build, as one that passed its check, for every node at once."""
        leave_check(version.folder, self.yard.owner)
        pace = rollout("at once", _AT_ONCE, self.yard.clock - timedelta(days=1))
        name = floor.name if floor else None
        self.yard.publish_build(version.folder, CHANNEL, pace=pace, floor=name, deltas=1)

    def revoke(self, version: Version) -> None:
        self.yard.revoke(version.name, f"{version.manifest.image}-{version.manifest.architecture}")

    @contextmanager
    def node(self, version: Version) -> Iterator[Node]:
        """A machine that is installed with that version."""
        story = Story()
        credentials = {"systemd.unit-dropin.zaffre-agent.timer~story": _EAGER}
        with self.versions.running(version, story, _SCRIPT, credentials=credentials, network=Network.HOST) as machine:
            yield Node(machine, story)


@contextmanager
def publishing(lab: Lab, root: Path) -> Iterator[Publisher]:
    """A place of releases with an empty channel, and versions of the reference host that follow it."""
    with lab.workspace() as work:
        yard = Yard(root / "yard", work.keys)
    yard.clock = now()
    yard.found()
    with serving(yard.repo, "", "honest") as url:
        place = f"http://{_OUTSIDE}:{urlsplit(url).port}"

        def adapt(distro: Path) -> None:
            (distro / "trust").mkdir()
            (distro / "trust/root.json").write_bytes(yard.first)
            with (distro / "images/container-host.toml").open("a") as image:
                image.write(f'\n[update]\nplace = "{place}"\nchannel = "{CHANNEL}"\ntrusted = "trust/root.json"\n')

        yield Publisher(Versions(lab, root, adapt), yard)
