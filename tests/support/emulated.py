# SPDX-License-Identifier: Apache-2.0
"""A test's own look at an emulated machine, with a second start for a kernel that the emulation has hung.

patience = Patience()
for event in patience.events(machine, deadline):
    ...
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from zaffre.machine import Machine
from zaffre.machine.console import ConsoleLog, Stage
from zaffre.machine.qemu import ConsoleOutput, Ended, Event, Message, MonitorEvent
from zaffre.machine.watch import Stall


@dataclass
class Patience:
    """`again` says that the machine was started once more because its kernel hung, as `zaffre check` does it once."""

    again: bool = False
    _console: ConsoleLog = field(default_factory=ConsoleLog)

    def __post_init__(self) -> None:
        self._stall = Stall(self._console)

    def events(self, machine: Machine, deadline: float) -> Iterator[Event]:
        """All that happens until the time of `time.monotonic()`."""
        if not self.again and self._stall.lasts(time.monotonic()):
            self.again = True
            self._console.restarted()
            machine.reset()
        for event in machine.events(deadline):
            match event:
                case ConsoleOutput(data):
                    self._console.feed(data)
                case MonitorEvent(name="RESET") | Ended():
                    self._console.restarted()
                case Message():
                    self.comes_up()
                case _:
                    pass
            self._stall.look(time.monotonic())
            yield event

    def comes_up(self) -> None:
        """The system has been heard of by other means than the console, so its kernel does not hang."""
        self._console.reached(Stage.SYSTEM)
