# SPDX-License-Identifier: Apache-2.0
"""How much of the machine others used while something was measured, so that a disturbed figure is known as one.

Busy time of all processors is the kernel's account (proc_stat(5)); of it, what we and the processes that we waited for
used is ours (getrusage(2)). Time that a hypervisor took away (steal) is others' too.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

_STAT = Path("/proc/stat")
_IDLE = (3, 4)
"""Positions of idle and iowait among the numbers of the first line."""
_GUEST = 8
"""From here on, times of guests, which are in user time already."""


_LOOK_SECONDS = 0.5
_MOST_WAIT_SECONDS = 45.0

CALM = 0.1
"""The share of others up to which a measurement counts as undisturbed."""


def wait_for_calm() -> None:
    """Return when others use little of the machine, or after 45 seconds all the same."""
    deadline = time.monotonic() + _MOST_WAIT_SECONDS
    while time.monotonic() < deadline:
        noise = Noise()
        time.sleep(_LOOK_SECONDS)
        if noise.share() <= CALM:
            return


class Noise:
    """Begins with its making. Ask it when all that was started has ended and been waited for."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._busy = busy_seconds(_STAT.read_text(), os.sysconf("SC_CLK_TCK"))
        self._own = _own_seconds()

    def share(self) -> float:
        """The part of all processors' time that others used since: 0 nothing, 1 everything."""
        wall = (time.monotonic() - self._wall) * (os.cpu_count() or 1)
        others = busy_seconds(_STAT.read_text(), os.sysconf("SC_CLK_TCK")) - self._busy - (_own_seconds() - self._own)
        return min(1.0, max(0.0, others / wall))


def busy_seconds(stat: str, ticks: int) -> float:
    """Seconds in which the processors were not idle, of /proc/stat with `ticks` a second. Pure."""
    numbers = [int(word) for word in stat.splitlines()[0].split()[1:]][:_GUEST]
    return sum(number for place, number in enumerate(numbers) if place not in _IDLE) / ticks


def _own_seconds() -> float:
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)
