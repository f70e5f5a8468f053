# SPDX-License-Identifier: Apache-2.0
"""How long a boot took, by stage: from the guest's own clock, and for what comes before it from outside. Pure.

Source of the arithmetic: systemd's analyze-time-data.c; microseconds since the kernel's start.
"""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.machine.facts import Facts, blocks, properties
from zaffre.machine.report import BootTimes


@dataclass
class Outside:
    """Seconds on the watcher's clock at which a machine began (power on or reset), its firmware started the boot
    loader, and its kernel started.
    """

    began: float
    loader: float | None = None
    kernel: float | None = None


def boot_times(facts: Facts, boot: int, outside: Outside) -> BootTimes:
    manager = properties(facts.get("system.times", boot).text)
    units = blocks(facts.get("system.units", boot).text)
    initrd = _seconds(manager.get("InitRDTimestampMonotonic"))
    userspace = _seconds(manager.get("UserspaceTimestampMonotonic"))
    return BootTimes(
        firmware=_difference(outside.began, outside.loader),
        loader=_difference(outside.loader, outside.kernel),
        kernel=initrd if initrd is not None else userspace,
        initrd=_difference(initrd, userspace),
        userspace=_difference(userspace, _seconds(manager.get("FinishTimestampMonotonic"))),
        multi_user=_seconds(units.get("multi-user.target", {}).get("ActiveEnterTimestampMonotonic")),
        containerd=_seconds(units.get("containerd.service", {}).get("ActiveEnterTimestampMonotonic")),
    )


def _seconds(microseconds: str | None) -> float | None:
    """None for what never happened, which systemd tells as 0."""
    if microseconds is None or not microseconds.isdigit() or microseconds == "0":
        return None
    return int(microseconds) / 1e6


def _difference(earlier: float | None, later: float | None) -> float | None:
    return None if earlier is None or later is None else round(max(0.0, later - earlier), 6)
