# SPDX-License-Identifier: Apache-2.0
"""A host that is updated: versions of it that differ as a test says, and one machine that goes from one to the next.

versions = Versions(lab, root)
first = versions.build(0)
broken = versions.build(1, {"usr/lib/zaffre/health.d/broken": "#!/bin/sh\nexit 3\n"})
story = versions.played(first, (broken,))
"""

from __future__ import annotations

import base64
import re
import shutil
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.emulated import Patience
from support.esp import damage_esp
from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.machine import AMD64, Accelerator, Guest, Network, OwnerCertificates, furnish, power_on
from zaffre.machine.qemu import ConsoleOutput, Ended, Event, Machine, Message, MonitorEvent
from zaffre.manifest import Manifest
from zaffre.sandbox import Sandbox
from zaffre.slots import incoming_names
from zaffre.trust import Role

IMAGE = "container-host"
_SCRIPT = Path(__file__).with_name("update.sh")
_SECONDS = 2400.0
_UNIT = b"""\
[Unit]
Description=From version to version
ConditionPathExists=!/etc/initrd-release
After=multi-user.target

[Service]
Type=exec
SELinuxContext=-system_u:system_r:zaffre_check_t:s0
ImportCredential=zaffre.*
ExecStart=/bin/sh %d/zaffre.story
"""
"""As `zaffre check` brings its own: see zaffre.machine.inject."""


@dataclass(frozen=True)
class Version:
    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        return self.manifest.version

    @property
    def entry(self) -> str:
        return f"zaffre-{self.manifest.image}_{self.name}"


@dataclass
class Story:
    """`boots` are the versions that came up, in order; `told` what each of them reported, by name."""

    boots: list[str] = field(default_factory=list)
    told: list[dict[str, str]] = field(default_factory=list)
    resets: int = 0
    ended: bool = False
    console: bytearray = field(default_factory=bytearray)

    def take(self, event: Event) -> None:
        match event:
            case ConsoleOutput(data):
                self.console += data
            case MonitorEvent(name="RESET"):
                self.resets += 1
            case Ended():
                self.ended = True
            case Message(fields) if fields.get("event") == "started":
                self.boots.append(str(fields["version"]))
                self.told.append({})
            case Message(fields) if "fact" in fields:
                self.told[-1][str(fields["fact"])] = base64.b64decode(str(fields["data"])).decode(errors="replace")
            case Message(fields) if fields.get("event") == "end":
                self.ended = True
            case _:
                pass


@dataclass(frozen=True)
class Off:
    """A machine that is off. Called, it is powered on, again and again, one after the other."""

    guest: Guest
    place: Path
    sandbox: Sandbox

    def __call__(self) -> AbstractContextManager[Machine]:
        return power_on(self.guest, Accelerator.TCG, self.place, sandbox=self.sandbox)

    def damage_esp(self, folder: Path) -> None:
        damage_esp(self.place / "root.qcow2", self.guest.image, folder, self.sandbox)


@dataclass(frozen=True)
class Versions:
    """`adapt` changes the definition of every version."""

    lab: Lab
    root: Path
    adapt: Callable[[Path], None] = lambda distro: None
    image: str = IMAGE

    def build(self, number: int, files: Mapping[str, str] | None = None, words: Sequence[str] = ()) -> Version:
        """The reference host, `number` versions after the lab's, with further files and words of the command line."""
        distro = self.root / f"distro-{number}"
        shutil.copytree(self.lab.distro, distro, symlinks=True)
        self.adapt(distro)
        lock = distro / "zaffre.lock"
        serial = re.compile(r'^( "serial": )(\d+),$', re.MULTILINE)
        lock.write_text(serial.sub(lambda match: f"{match[1]}{int(match[2]) + number},", lock.read_text(), count=1))
        for name, text in (files or {}).items():
            path = distro / "files/container-host" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        profile = distro / "profiles/immutable.toml"
        more = "".join(f'\n  "{word}",' for word in ("panic=1", *words))
        profile.write_text(profile.read_text().replace('\n  "panic=10",', more))
        told = self.lab.json("--distro", str(distro), "build", self.image, "--out", str(self.root / "out"))
        folder = Path(told["directory"])
        return Version(folder, Manifest.model_validate_json((folder / "manifest.json").read_bytes()))

    def build_extension(
        self, image: str, number: int, files: Mapping[str, str] | None = None, *, tree: str | None = None
    ) -> Version:
        """An extension of the definition from which the version of that number was built, with further files in the
        tree of its name, or in `tree`.
        """
        distro = self.root / f"distro-{number}"
        for name, text in (files or {}).items():
            path = distro / "files" / (tree or image) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        told = self.lab.json("--distro", str(distro), "build", image, "--out", str(self.root / "out"))
        folder = Path(told["directory"])
        return Version(folder, Manifest.model_validate_json((folder / "manifest.json").read_bytes()))

    def played(
        self,
        first: Version,
        others: Sequence[Version],
        *,
        after: Mapping[str, str] | None = None,
        last: str = "",
        credentials: Mapping[str, bytes] | None = None,
    ) -> Story:
        """Boot the first one, and go from version to version until the machine says that it is through. `after` are
        scripts by version, which the machine runs when it is in its slot; after `last` it restarts once more.
        """
        payload = self.root / "payload.tar"
        _pack(payload, others, after or {}, last)
        story = Story()
        deadline = time.monotonic() + _SECONDS
        with (
            self.furnished(first, story, _SCRIPT, disks={"payload": payload}, credentials=credentials) as start,
            start() as machine,
        ):
            patience = Patience()
            while not story.ended and time.monotonic() < deadline:
                for event in patience.events(machine, min(deadline, time.monotonic() + 1.0)):
                    story.take(event)
        return story

    @contextmanager
    def running(
        self, version: Version, story: Story, script: Path, *, disks: Mapping[str, Path] | None = None
    ) -> Iterator[Machine]:
        """A machine with a disk of its own, that runs `script` in each boot. Its console is kept beside the builds."""
        with self.furnished(version, story, script, disks=disks) as power_on, power_on() as machine:
            yield machine

    @contextmanager
    def furnished(
        self,
        version: Version,
        story: Story,
        script: Path,
        *,
        disks: Mapping[str, Path] | None = None,
        credentials: Mapping[str, bytes] | None = None,
        network: Network = Network.ISOLATED,
    ) -> Iterator[Off]:
        """The same, off."""
        with self.lab.workspace() as work, work.store.scratch("machine") as place:
            guest = Guest(
                image=version.folder / "image.raw",
                architecture=AMD64,
                certificates=OwnerCertificates(*(work.keys.public_path(role) for role in (Role.PK, Role.KEK, Role.DB))),
                disks=disks or {},
                credentials={
                    "systemd.extra-unit.zaffre-story.service": _UNIT,
                    "systemd.unit-dropin.multi-user.target~zaffre-story": b"[Unit]\nWants=zaffre-story.service\n",
                    "zaffre.story": script.read_bytes(),
                    **(credentials or {}),
                },
                network=network,
            )
            sandbox = Making(work).sandbox
            furnish(guest, place, store=work.store, sandbox=sandbox)
            try:
                yield Off(guest, place, sandbox)
            finally:
                (self.root / "console.log").write_bytes(story.console)


def _pack(payload: Path, versions: Sequence[Version], after: Mapping[str, str], last: str) -> None:
    order = payload.with_name("order")
    order.write_text("".join(f"{one.name}\n" for one in versions))
    script = payload.with_name("after")
    with tarfile.open(payload, "w") as archive:
        archive.add(order, "order")
        if last:
            script.write_text(last)
            archive.add(script, "last")
        for one in versions:
            names = incoming_names(one.manifest.image, one.name, one.manifest.root_hash or "")
            for file, name in names.items():
                archive.add(one.folder / file, f"{one.name}/{name}")
            if one.name in after:
                script.write_text(after[one.name])
                archive.add(script, f"{one.name}/after")
