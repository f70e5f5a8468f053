# SPDX-License-Identifier: Apache-2.0
"""Our server and the like of Debian's cloud image, alternated, in the same machine with the same cloud-init seed.

The seed makes a user with a key. "Log-in" is the moment, on the machine's own clock, at which a command of that user
runs in an SSH session that was opened from outside (`doors.py`). Memory is looked at after the restart has settled and
the session is long gone: logind keeps a user's own manager for ten seconds. Packages are counted by the machine's dpkg.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from doors import USER, Door, Visitor, free_port
from figures import Figure, Limit, Unit
from guests import Told, ask_units, boot_twice
from lab import Lab, Say
from measure import BenchError
from noise import Noise, wait_for_calm

from zaffre.digest import JSON
from zaffre.machine import Guest, Network
from zaffre.machine.seed import SEED_DISK, make_seed

SERVER = "server"
_PEER = "stock cloud image"
_SETTLE_SECONDS = 15
_ASKED = {
    "units": ask_units("multi-user.target", "ssh.service"),
    "packages": "dpkg-query --show --showformat '${db:Status-Status} ${Package}\\n'",
    "cloud": "cloud-init status --format json",
    "chain": "systemd-analyze critical-chain ssh.service --no-pager",
}


@dataclass(frozen=True)
class ServerFacts:
    """One boot: seconds from the kernel's start to the log-in, bytes of memory in use, packages installed."""

    seconds: float
    memory: int
    packages: int
    state: str


@dataclass
class Servers:
    """First boots and restarts of each machine, in the order in which they were measured."""

    ours: list[tuple[ServerFacts, ...]] = field(default_factory=list)
    stock: list[tuple[ServerFacts, ...]] = field(default_factory=list)
    others: list[float] = field(default_factory=list)
    """The share of the host that other programs used, for each machine."""


def measure_servers(lab: Lab, ours: Path, stock: Path, *, rounds: int, say: Say) -> Servers:
    """`ours` and `stock` are disk images, which are only read."""
    found = Servers()
    with _visitor(lab) as (visitor, seed):
        for number in range(1, rounds + 1):
            for name, image, kept in (("Zaffre", ours, found.ours), (_PEER, stock, found.stock)):
                wait_for_calm()
                noise = Noise()
                facts = _boot(lab, image, name, visitor, seed)
                kept.append(facts)
                found.others.append(noise.share())
                for title, one in zip(("first boot", "restart"), facts, strict=True):
                    say(
                        f"round {number} of {rounds}: {name}, {title}: log-in after {one.seconds:.1f} s, "
                        f"{one.memory / 1e6:.0f} MB in use, {one.packages} packages, {one.state} "
                        f"(others {found.others[-1]:.0%})"
                    )
    return found


def server_figures(found: Servers) -> list[Figure]:
    """The lines of the table that are about the server."""

    def pair(title: str, unit: Unit, attribute: str, boot: int, most: float) -> Figure:
        ours, stock = (
            tuple(float(getattr(facts[boot], attribute)) for facts in machines)
            for machines in (found.ours, found.stock)
        )
        return Figure(f"server: {title}", unit, ours, _PEER, stock, Limit(ratio=most))

    return [
        pair("packages", Unit.COUNT, "packages", -1, 0.6),
        pair("first boot: kernel to log-in by SSH", Unit.SECONDS, "seconds", 0, 0.7),
        pair("restart: kernel to log-in by SSH", Unit.SECONDS, "seconds", 1, 0.7),
        pair("memory in use after boot", Unit.BYTES, "memory", -1, 0.8),
    ]


@contextmanager
def _visitor(lab: Lab) -> Iterator[tuple[Visitor, Path]]:
    folder = lab.folder / "visitor"
    folder.mkdir()
    visitor = Visitor.made(folder)
    user: dict[str, JSON] = {
        "name": USER,
        "shell": "/bin/bash",
        "lock_passwd": True,
        "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
        "ssh_authorized_keys": [visitor.public],
    }
    seed = folder / "seed.img"
    make_seed(seed, instance="bench", settings={"users": [user]}, scratch=folder, sandbox=lab.sandbox)
    yield visitor, seed


def _boot(lab: Lab, image: Path, name: str, visitor: Visitor, seed: Path) -> tuple[ServerFacts, ...]:
    port = free_port()
    guest = Guest(
        image=image,
        architecture=lab.architecture,
        certificates=lab.certificates,
        disks={SEED_DISK: seed},
        network=Network.HOST,
        forwards={port: 22},
    )
    with Door(lab.sandbox, visitor, port) as door:
        told = boot_twice(lab, guest, name, asked=_ASKED, settle_seconds=_SETTLE_SECONDS, on_told=door.passed)
    with lab.log("servers").open("a") as log:
        for one, log_in in zip(told, door.log_ins, strict=True):
            log.write(f"{name}: log-in {log_in.seconds}, {one.state}, {one.memory}\n{one.blame}\n{one.answers}\n")
    return tuple(_facts(name, one, log_in.seconds) for one, log_in in zip(told, door.log_ins, strict=True))


def _facts(name: str, told: Told, seconds: float) -> ServerFacts:
    """Raises BenchError where cloud-init has not done its work: then the two do not do the same."""
    try:
        status = json.loads(told.answers["cloud"]).get("status")
    except (ValueError, AttributeError):
        status = told.answers["cloud"]
    if status != "done":
        raise BenchError(f"{name}: cloud-init says {status!r}\n{told.blame}")
    installed = sum(line.startswith("installed ") for line in told.answers["packages"].splitlines())
    return ServerFacts(seconds, told.memory, installed, told.state)
