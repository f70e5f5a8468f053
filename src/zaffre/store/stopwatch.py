# SPDX-License-Identifier: Apache-2.0
"""Wall and CPU time of a piece of work."""

from __future__ import annotations

import resource
import time


class Stopwatch:
    """Runs from construction. `cpu` counts this process, all its threads and its ended children, in seconds."""

    def __init__(self) -> None:
        self._wall = time.monotonic()
        self._cpu = _cpu()

    @property
    def wall(self) -> float:
        return time.monotonic() - self._wall

    @property
    def cpu(self) -> float:
        return _cpu() - self._cpu


def _cpu() -> float:
    usages = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
