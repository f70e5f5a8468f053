# SPDX-License-Identifier: Apache-2.0
"""When a node's turn comes. Pure: no clock, no network, the same answer on the node, in the fleet and in a simulation.

A release has a schedule: shares of all nodes, and until when. A node has a *position* from 0 to 1 for each release,
which follows from its own id and the release's name and from nothing else. Its turn comes when the schedule has reached
its position: within a step evenly, so no step ends with a rush, and nobody needs a list of nodes.

That the position depends on the release spreads the risk of being early: no node is always among the first.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

_BITS = 53
"""What a double holds exactly (IEEE 754, binary64)."""


def position(node: str, release: str) -> float:
    """Where the node stands among all nodes, for this release: uniform in [0, 1).

    The first 53 bits of SHA-256 over both names, each after its own length, so that no two pairs run together.
    """
    text = f"zaffre wave {len(release)}:{release} {len(node)}:{node}"
    first = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return (first >> (64 - _BITS)) / (1 << _BITS)


@dataclass(frozen=True)
class Schedule:
    """A piecewise linear rise from no node at 0 s to all of them: `shares` (0 to 1) are reached at `times` (seconds
    since the release). Both begin with 0 and rise.
    """

    shares: tuple[float, ...]
    times: tuple[float, ...]

    @classmethod
    def of(cls, steps: Iterable[tuple[float, float]]) -> Self:
        """A schedule by the share (0 to 1) and the end (seconds) of each step."""
        shares, times = zip(*steps, strict=True)
        return cls((0.0, *shares), (0.0, *times))

    def turn(self, where: float) -> float:
        """Seconds after the release at which the turn comes of the node at position `where`, in [0, 1)."""
        step = bisect_right(self.shares, where)
        return _between(where, self.shares, self.times, step)

    def share(self, seconds: float) -> float:
        """Which share of all nodes has had its turn, that many seconds after the release: from 0 to 1."""
        if seconds >= self.times[-1]:
            return 1.0
        return _between(seconds, self.times, self.shares, bisect_right(self.times, seconds)) if seconds > 0 else 0.0


def _between(value: float, axis: Sequence[float], other: Sequence[float], index: int) -> float:
    low, high = axis[index - 1], axis[index]
    return other[index - 1] + (value - low) / (high - low) * (other[index] - other[index - 1])
