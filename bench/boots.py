# SPDX-License-Identifier: Apache-2.0
"""Boots in QEMU of our host and of a stock Debian, alternated, in the same machine, asked by the same unit.

Both run under TCG with OVMF, Secure Boot and a TPM. The unit comes as a credential from outside
(systemd-debug-generator(8)), so neither image is changed for it; it waits until the boot has settled, and tells
the manager's own time stamps, which count from the kernel's start. Each machine starts twice: the first boot
of a fresh disk, then a restart. Memory is looked at some seconds after that, when what starts up has started.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, Limit, Unit
from lab import Lab, Say
from measure import BenchError
from noise import Noise, wait_for_calm

from zaffre.digest import JSON
from zaffre.machine import Accelerator, ConsoleLog, ConsoleOutput, Ended, Guest, Message, MonitorEvent, boot
from zaffre.machine.facts import blocks, memory_bytes
from zaffre.machine.spec import NOTIFY_PORT
from zaffre.store import Store

_SECONDS = 420.0
_SETTLE_SECONDS = 5
_BOOTS = 2
_UNIT = "zaffre-bench.service"

# exec, not oneshot: a job that runs until the system is settled would itself keep it from being so.
_SERVICE = """\
[Unit]
Description=Tell how the boot went
ConditionPathExists=!/etc/initrd-release
After=multi-user.target

[Service]
Type=exec
ImportCredential=bench.script
ExecStart=/bin/sh %d/bench.script
"""
_SCRIPT = f"""\
port=/dev/virtio-ports/{NOTIFY_PORT}
until [ -e "$port" ]; do sleep 0.2; done
state=$(systemctl is-system-running --wait)
sleep {_SETTLE_SECONDS}
memory=$(base64 -w0 </proc/meminfo)
units=$(systemctl show multi-user.target containerd.service -p Id -p ActiveState -p ActiveEnterTimestampMonotonic |
    base64 -w0)
blame=$(systemd-analyze blame --no-pager 2>&1 | grep -v '[.]device$' | head -n 12 | base64 -w0)
printf '{{"state":"%s","memory":"%s","units":"%s","blame":"%s"}}\\n' "$state" "$memory" "$units" "$blame" >"$port"
systemctl --no-block reboot
"""


@dataclass(frozen=True)
class BootFacts:
    """One boot: seconds from the kernel's start until multi-user.target was reached and containerd was ready; bytes
    of memory in use (MemTotal less MemAvailable); the state in which the system settled; its slowest units, in words.
    """

    seconds: float
    memory: int
    state: str
    blame: str


@dataclass
class Boots:
    """First boots and restarts of each machine, in the order in which they were measured."""

    ours: list[tuple[BootFacts, ...]] = field(default_factory=list)
    stock: list[tuple[BootFacts, ...]] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """The share of the host that other programs used, for each machine."""


def measure_boots(lab: Lab, ours: Path, stock: Path, *, rounds: int, say: Say) -> Boots:
    """`ours` and `stock` are disk images, which are only read."""
    found = Boots()
    for number in range(1, rounds + 1):
        for name, image, kept in (("Zaffre", ours, found.ours), ("stock Debian", stock, found.stock)):
            wait_for_calm()
            noise = Noise()
            facts = _boot_twice(lab, image, name)
            kept.append(facts)
            found.others.append(noise.share())
            for title, one in zip(("first boot", "restart"), facts, strict=True):
                say(
                    f"round {number} of {rounds}: {name}, {title}: {one.seconds:.1f} s, "
                    f"{one.memory / 1e6:.0f} MB in use, {one.state} (others {found.others[-1]:.0%})"
                )
            with lab.log("boots").open("a") as log:
                log.writelines(f"{name} {one.seconds} {one.memory} {one.state}\n{one.blame}\n" for one in facts)
    return found


def boot_figures(found: Boots) -> list[Figure]:
    """The lines of the table that are about a running system."""

    def pair(title: str, boot: int, most: float) -> Figure:
        ours, stock = (tuple(facts[boot].seconds for facts in machines) for machines in (found.ours, found.stock))
        return Figure(title, Unit.SECONDS, ours, "stock Debian", stock, Limit(ratio=most))

    memory = [tuple(float(facts[-1].memory) for facts in machines) for machines in (found.ours, found.stock)]
    return [
        pair("first boot: kernel to multi-user, containerd ready", 0, 0.6),
        pair("restart: kernel to multi-user, containerd ready", 1, 0.6),
        Figure("memory in use after boot", Unit.BYTES, memory[0], "stock Debian", memory[1], Limit(ratio=0.8)),
    ]


def _boot_twice(lab: Lab, image: Path, name: str) -> tuple[BootFacts, ...]:
    guest = Guest(
        image=image,
        architecture=lab.architecture,
        certificates=lab.certificates,
        credentials={
            "bench.script": _SCRIPT.encode(),
            f"systemd.extra-unit.{_UNIT}": _SERVICE.encode(),
            "systemd.unit-dropin.multi-user.target~bench": f"[Unit]\nWants={_UNIT}\n".encode(),
        },
    )
    console = ConsoleLog()
    found: list[BootFacts] = []
    deadline = time.monotonic() + _SECONDS
    with boot(guest, Accelerator.TCG, store=Store(lab.store), sandbox=lab.sandbox) as machine:
        for event in machine.events(deadline):
            match event:
                case ConsoleOutput(data):
                    console.feed(data)
                case MonitorEvent(name="RESET"):
                    console.restarted()
                case Message(fields):
                    found.append(_facts(fields, name))
                    if len(found) == _BOOTS:
                        return tuple(found)
                case Ended(error=error):
                    raise BenchError(f"{name}: the machine ended\n{error}\n{console.tail(30)}")
                case _:
                    pass
            if console.refusal is not None:
                raise BenchError(f"{name}: {console.refusal}\n{console.tail(30)}")
    raise BenchError(f"{name}: no word from the guest in {_SECONDS:.0f} s\n{console.tail(30)}")


def _facts(fields: Mapping[str, JSON], name: str) -> BootFacts:
    memory = memory_bytes(_text(fields, "memory"))
    units = blocks(_text(fields, "units"))
    stamps = []
    for unit in ("multi-user.target", "containerd.service"):
        block = units.get(unit, {})
        stamp = block.get("ActiveEnterTimestampMonotonic", "0")
        if block.get("ActiveState") != "active" or not stamp.isdigit() or stamp == "0":
            raise BenchError(f"{name}: {unit} is {block.get('ActiveState', 'not there')}\n{_text(fields, 'blame')}")
        stamps.append(int(stamp) / 1e6)
    used = memory["MemTotal"] - memory["MemAvailable"]
    return BootFacts(max(stamps), used, str(fields.get("state")), _text(fields, "blame"))


def _text(fields: Mapping[str, JSON], key: str) -> str:
    return base64.b64decode(str(fields.get(key, ""))).decode("utf-8", "replace")
