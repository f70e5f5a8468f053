# SPDX-License-Identifier: Apache-2.0
"""`zaffre release simulate` of a million nodes over thirty days, a bad release among them: time and memory."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from figures import Figure, Limit, Unit
from measure import Cost, measure
from noise import wait_for_calm

from zaffre.definition import reference_root

NODES = 1_000_000
_WORDS = ("release", "simulate", "--days", "30", "--bad", "20")


def command(nodes: int = NODES) -> list[str]:
    """What is measured: a program of its own."""
    return [sys.executable, "-m", "zaffre", "--distro", str(reference_root()), *_WORDS, "--nodes", str(nodes)]


def measure_fleet(folder: Path, *, say: Callable[[str], None]) -> Cost:
    """One run; a second one would have nothing to gain from it."""
    wait_for_calm()
    cost = measure(command(), log=folder / "fleet.log", timeout=900)
    say(f"simulation of {NODES:,} nodes: {cost.wall:.1f} s")
    return cost


def fleet_figures(cost: Cost) -> list[Figure]:
    """The lines of the table that are about a fleet."""
    title = f"rollout to {NODES:,} nodes in 30 days, simulated"
    return [
        Figure(f"{title}, wall time", Unit.SECONDS, (cost.wall,), limit=Limit(value=60, strict=True)),
        Figure(f"{title}, memory", Unit.BYTES, (float(cost.process_bytes),)),
    ]
