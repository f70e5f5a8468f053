# SPDX-License-Identifier: Apache-2.0
"""From the order to restart until a boot is blessed: into a new version, beside a plain restart of the same machine.

Each round is a machine of its own. It comes up, restarts, writes a newer version into its other slot and restarts into
that: a boot on trial, which has to judge itself and lose its count on the ESP. Both times are taken outside of the
machine, between what it says, so what the firmware and the boot loader take is in them.
"""

from __future__ import annotations

import re
import shutil
import tarfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from builds import release_build
from figures import Figure, Limit, Unit
from lab import IMAGE, Lab, Say
from measure import BenchError, measure
from noise import Noise, wait_for_calm

from zaffre.machine import Accelerator, ConsoleLog, ConsoleOutput, Ended, Event, Guest, Message, MonitorEvent, boot
from zaffre.machine.spec import NOTIFY_PORT
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.slots import INCOMING, incoming_names
from zaffre.store import Store

_SECONDS = 1200.0
_MOST = Limit(ratio=1.15)
_DISK = "versions"
_SERIAL = re.compile(r'^( "serial": )(\d+),$', re.MULTILINE)
_UNIT = """\
[Unit]
Description=Restart, and restart into a newer version
ConditionPathExists=!/etc/initrd-release
After=multi-user.target

[Service]
Type=exec
ImportCredential=bench.script
ExecStart=/bin/sh %d/bench.script
"""
# It says "blessed" of each boot, and "order" before each restart.
_SCRIPT = """\
until [ -e /dev/virtio-ports/{port} ]; do sleep 0.2; done
exec 3>/dev/virtio-ports/{port}
. /usr/lib/os-release
tell() {{ printf '{{"event":"%s","version":"%s"}}\\n' "$1" "$IMAGE_VERSION" >&3; }}
blessed() {{
    case $(systemctl is-active boot-complete.target):$(systemctl is-active systemd-bless-boot.service) in
        active:activating) return 1 ;;
        active:*) return 0 ;;
    esac
    return 1
}}
until blessed; do sleep 0.2; done
tell blessed
systemctl is-system-running --wait >/dev/null
sleep 5
work=/var/lib/bench
if [ ! -e $work ]; then
    mkdir $work
elif [ ! -e $work/staged ]; then
    mkdir -p {incoming} $work/staged
    tar --extract --file /dev/disk/by-id/virtio-{disk} --directory {incoming}
    said=$(/usr/lib/systemd/systemd-sysupdate update --no-pager 2>&1) || {{
        printf '{{"event":"failed","version":"%s"}}\\n' "$(printf %s "$said" | base64 -w0)" >&3
        exit 1
    }}
    rm -r {incoming}/*
else
    exit 0
fi
sync
tell order
systemctl --no-block reboot
"""


@dataclass
class Switches:
    """Seconds from order to blessed boot, of each machine."""

    plain: list[float] = field(default_factory=list)
    switched: list[float] = field(default_factory=list)
    others: list[float] = field(default_factory=list)


def measure_switches(lab: Lab, *, rounds: int, say: Say) -> Switches:
    """Build two versions of the host, and lead a machine from one to the other in each round."""
    old = release_build(lab, say=say)
    new = _newer_build(lab, say=say)
    payload = lab.folder / "versions.tar"
    _pack(payload, new)
    versions = [_manifest(one).version for one in (old, new)]
    found = Switches()
    for number in range(1, rounds + 1):
        wait_for_calm()
        noise = Noise()
        guest = Guest(
            image=old / "image.raw",
            architecture=lab.architecture,
            certificates=lab.certificates,
            disks={_DISK: payload},
            credentials={
                "bench.script": script().encode(),
                "systemd.extra-unit.zaffre-bench.service": _UNIT.encode(),
                "systemd.unit-dropin.multi-user.target~bench": b"[Unit]\nWants=zaffre-bench.service\n",
            },
        )
        with boot(guest, Accelerator.TCG, store=Store(lab.store), sandbox=lab.sandbox) as machine:
            plain, switched = restarts(machine.events(time.monotonic() + _SECONDS), versions)
        found.others.append(noise.share())
        found.plain.append(plain)
        found.switched.append(switched)
        say(
            f"round {number} of {rounds}: from the order to a blessed boot: {plain:.1f} s, into the newer version "
            f"{switched:.1f} s (others {found.others[-1]:.0%})"
        )
    return found


def switching_figures(found: Switches) -> list[Figure]:
    """The line of the table that is about a restart into a newer version."""
    title = "restart into a newer version: order to blessed boot"
    return [Figure(title, Unit.SECONDS, tuple(found.switched), "plain restart", tuple(found.plain), _MOST)]


def script() -> str:
    """What runs in the guest, at each boot. Pure."""
    return _SCRIPT.format(port=NOTIFY_PORT, incoming=INCOMING, disk=_DISK)


def restarts(events: Iterable[Event], versions: list[str]) -> tuple[float, float]:
    """Seconds from order to blessed boot: of the restart, and of that into the second of `versions`.

    Raises BenchError when the machine ends, refuses, or is blessed in another version than it is to be in.
    """
    expected = [versions[0], versions[0], versions[1]]
    console, taken, ordered = ConsoleLog(), [], None
    for event in events:
        match event:
            case ConsoleOutput(data):
                console.feed(data)
            case MonitorEvent(name="RESET"):
                console.restarted()
            case Message({"event": "order"}):
                ordered = time.monotonic()
            case Message({"event": "blessed", "version": version}):
                if version != expected[len(taken)]:
                    raise BenchError(f"{version} was blessed instead of {expected[len(taken)]}\n{console.tail(30)}")
                taken.append(time.monotonic() - ordered if ordered is not None else 0.0)
                if len(taken) == len(expected):
                    return taken[1], taken[2]
            case Message(fields):
                raise BenchError(f"the machine says {fields}\n{console.tail(30)}")
            case Ended(error=error):
                raise BenchError(f"the machine ended\n{error}\n{console.tail(30)}")
            case _:
                pass
    raise BenchError(f"no word from the guest in {_SECONDS:.0f} s\n{console.tail(30)}")


def _newer_build(lab: Lab, *, say: Say) -> Path:
    """The same host by a lock that is one later."""
    definition = lab.folder / "definition-newer"
    shutil.copytree(lab.definition, definition, symlinks=True)
    lock = definition / "zaffre.lock"
    text, count = _SERIAL.subn(lambda match: f"{match[1]}{int(match[2]) + 1},", lock.read_text(), count=1)
    if count != 1:
        raise BenchError(f"{lock} has no serial")
    lock.write_text(text)
    out = lab.folder / "newer"
    say("building the same host as a newer version")
    words = lab.zaffre("--distro", str(definition), "build", IMAGE, "--profile", "release", "--out", str(out))
    measure(words, log=lab.log("newer"), timeout=_SECONDS)
    return next(out.iterdir())


def _pack(payload: Path, build: Path) -> None:
    manifest = _manifest(build)
    names = incoming_names(IMAGE, manifest.version, manifest.root_hash or "")
    with tarfile.open(payload, "w") as archive:
        for file, name in names.items():
            archive.add(build / file, name)


def _manifest(build: Path) -> Manifest:
    return Manifest.model_validate_json((build / MANIFEST_NAME).read_bytes())
