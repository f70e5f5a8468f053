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
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support.emulated import Patience
from support.lab import Lab
from support.mirror import serving
from support.releases import Yard, leave_check, now
from support.updates import IMAGE, Off, Story, Version, Versions
from zaffre.cli.making import Making
from zaffre.definition import Waves
from zaffre.digest import canonical_json
from zaffre.machine import Machine, Network
from zaffre.release.operate import rollout
from zaffre.trust.extension import check_seal
from zaffre.trust.inspector import Inspector, Verdict

CHANNEL = "dev"
FOLLOWED = "check"
"""The extension that nodes of the plain host follow beside it: the reference distribution has one for it."""
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
    """A machine that runs; what it said is in `story`. `power` powers it on, anew after each cut."""

    power: Off
    on: ExitStack
    story: Story
    machine: Machine = field(init=False)
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        self.machine = self.on.enter_context(self.power())

    def until(self, what: str, holds: Callable[[], bool], seconds: float = _SECONDS) -> None:
        """Let it run until that holds; fail if it never does."""
        if not self.go_on(holds, seconds):
            told = json.dumps(self.story.told[-2:], indent=1)
            console = self.story.console[-2000:].decode(errors="replace")
            pytest.fail(f"{console}\n{told}\nboots: {self.story.boots}\nlast: {self.last()}\nnot seen: {what}")

    def go_on(self, holds: Callable[[], bool], seconds: float, *, look: float = 0.5) -> bool:
        """Let it run until that holds, for so long at most; whether it did. It is looked at every `look` seconds."""
        deadline = time.monotonic() + seconds
        while not (held := holds()) and not self.story.ended and time.monotonic() < deadline:
            for event in self.patience.events(self.machine, min(deadline, time.monotonic() + look)):
                self.story.take(event)
        return held

    def cut_power(self, damage: Path | None = None) -> None:
        """What was not written to the disk by now is lost; it is powered on again. With a folder for that, the file
        system of the ESP is damaged, too.
        """
        self.machine.cut_power()
        self.go_on(lambda: self.story.ended, 10)
        self.on.close()
        if damage is not None:
            self.power.damage_esp(damage)
        self.story.ended = False
        self.machine = self.on.enter_context(self.power())

    def written(self) -> int:
        """Bytes that the machine has written to its disk since it was powered on."""
        found = json.loads(canonical_json(self.machine.query("query-blockstats", seconds=60)))
        return sum(int(one["stats"]["wr_bytes"]) for one in found if one.get("node-name") == "disk0")

    def last(self) -> dict[str, object]:
        """The agent's last decision in this boot."""
        said = self.story.told[-1].get("last") if self.story.told else None
        found = json.loads(said) if said else {}
        assert isinstance(found, dict)
        return found

    def laid_over(self) -> list[str]:
        """Extensions that the agent says it has laid over the host, in order, as this boot knows."""
        said = self.story.told[-1].get("did", "") if self.story.told else ""
        lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
        return [str(one["extension"]) for one in lines if one["did"] == "laid over"]

    def stays_at(self, version: Version) -> bool:
        """It runs that, and has looked and found nothing that is better."""
        return self.story.boots[-1:] == [version.name] and self.last().get("act") == "stay"


@dataclass
class Publisher:
    versions: Versions
    yard: Yard

    def release(self, version: Version, *, floor: Version | None = None, deltas: int = 1) -> None:
        """Publish a build, as one that passed its check, for every node at once."""
        leave_check(version.folder, self.yard.owner)
        pace = rollout("at once", _AT_ONCE, self.yard.clock - timedelta(days=1))
        name = floor.name if floor else None
        self.yard.publish_build(version.folder, CHANNEL, pace=pace, floor=name, deltas=deltas, seal=self._seal)

    def _seal(self, extension: Path) -> Verdict:
        """By the real tools, as `zaffre release create` does it."""
        with self.versions.lab.workspace() as work:
            return check_seal(extension, Inspector(extension.parent, work.certificates, Making(work).sandbox))

    def revoke(self, version: Version) -> None:
        self.yard.revoke(version.name, f"{version.manifest.image}-{version.manifest.architecture}")

    @contextmanager
    def node(self, version: Version) -> Iterator[Node]:
        """A machine that is installed with that version."""
        story = Story()
        credentials = {"systemd.unit-dropin.zaffre-agent.timer~story": _EAGER}
        off = self.versions.furnished(version, story, _SCRIPT, credentials=credentials, network=Network.HOST)
        with off as power, ExitStack() as on:
            yield Node(power, on, story)


@contextmanager
def publishing(
    lab: Lab, root: Path, *, image: str = IMAGE, agent: str = "agent", extension: str = FOLLOWED
) -> Iterator[Publisher]:
    """A place of releases with an empty channel, and versions of a host that follow it, and an extension beside it, by
    an agent made for it.
    """
    with lab.workspace() as work:
        yard = Yard(root / "yard", work.keys)
    yard.clock = now()
    yard.found()
    with serving(yard.repo, "", "honest") as url:
        place = f"http://{_OUTSIDE}:{urlsplit(url).port}"

        def adapt(distro: Path) -> None:
            (distro / "trust").mkdir()
            (distro / "trust/root.json").write_bytes(yard.first)
            with (distro / f"images/{image}.toml").open("a") as file:
                file.write(f'\n[update]\nplace = "{place}"\nchannel = "{CHANNEL}"\ntrusted = "trust/root.json"\n')
                file.write(f'agent = "{agent}"\nextensions = ["{extension}"]\n')

        yield Publisher(Versions(lab, root, adapt, image), yard)
