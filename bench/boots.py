# SPDX-License-Identifier: Apache-2.0
"""Boots in QEMU of our host and of a stock Debian, alternated, in the same machine, asked by the same unit.

What a boot takes is counted from the kernel's start, by the manager's own time stamps. Memory is looked at some seconds
after the restart has settled, when what starts up has started.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, Limit, Unit
from guests import Told, ask_units, boot_twice
from lab import Lab, Say
from noise import Noise, wait_for_calm

from zaffre.machine import Guest

_SETTLE_SECONDS = 5
UNITS = ("multi-user.target", "containerd.service")


@dataclass(frozen=True)
class BootFacts:
    """One boot: seconds from the kernel's start until multi-user.target was reached and containerd was ready; bytes
    of memory in use; the state in which the system settled.
    """

    seconds: float
    memory: int
    state: str


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
            guest = Guest(image=image, architecture=lab.architecture, certificates=lab.certificates)
            told = boot_twice(lab, guest, name, asked={"units": ask_units(*UNITS)}, settle_seconds=_SETTLE_SECONDS)
            facts = tuple(boot_facts(one) for one in told)
            kept.append(facts)
            found.others.append(noise.share())
            for title, one in zip(("first boot", "restart"), facts, strict=True):
                say(
                    f"round {number} of {rounds}: {name}, {title}: {one.seconds:.1f} s, "
                    f"{one.memory / 1e6:.0f} MB in use, {one.state} (others {found.others[-1]:.0%})"
                )
            with lab.log("boots").open("a") as log:
                log.writelines(f"{name} {one}\n{of.blame}\n" for one, of in zip(facts, told, strict=True))
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


def boot_facts(told: Told) -> BootFacts:
    """Of a machine that was asked for UNITS."""
    return BootFacts(max(told.active_since(unit) for unit in UNITS), told.memory, told.state)
