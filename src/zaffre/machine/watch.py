# SPDX-License-Identifier: Apache-2.0
"""Follows a machine's events and knows where its boot is, when it has stopped for good, and how to say so.

No clock and no process: events and the time of each are passed in.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass, field

from zaffre.errors import FindingError, WorldError, ZaffreError
from zaffre.machine.console import ConsoleLog, Stage
from zaffre.machine.facts import Facts
from zaffre.machine.measure import Outside
from zaffre.machine.qemu import ConsoleOutput, Ended, Event, Message, MonitorEvent, Typed

_CONSOLE_LINES = 20
_LAST_WORDS_SECONDS = 2.0
_MOST_SURPRISING_RESETS = 1
_MOST_TRIES = 10
_STALL_SECONDS = 60.0


@dataclass
class Stall:
    """Whether the kernel of an emulated machine hangs before its system is up, so that it should be reset.

    QEMU's emulation can lose what would wake a processor; a second start mends that.
    """

    console: ConsoleLog
    _since: float | None = None

    def look(self, now: float) -> None:
        """To be called when the console has been fed, or told of a reset."""
        if not self.console.stalled:
            self._since = None
        elif self._since is None:
            self._since = now

    def lasts(self, now: float) -> bool:
        """It has lasted for so long that the kernel will not get over it."""
        stalled = self._since is not None and now >= self._since + _STALL_SECONDS
        return stalled and self.console.stage is not Stage.SYSTEM


@dataclass
class Watch:
    """`ready` is the state that the system settled in ("running"), `finished` says that a check came to its end.

    `hung` is the number of the boot whose kernel did (`hangs`), if one did.
    `first` is the number of the first boot: 0 where the version before the one that is looked at comes first.

    `stuck` is the error of a boot that will not go on; the machine may still print why for `_LAST_WORDS_SECONDS`.
    """

    began: float
    first: int = 1
    console: ConsoleLog = field(default_factory=ConsoleLog)
    facts: Facts = field(default_factory=Facts)
    outsides: list[Outside] = field(default_factory=list)
    ready: str | None = None
    finished: bool = False
    restarting: bool = False
    hung: int | None = None
    _surprises: int = 0
    _hopeless_since: float | None = None
    _failure: ZaffreError | None = None
    _ended: Ended | None = None

    def __post_init__(self) -> None:
        self._stall = Stall(self.console)
        self.outsides.append(Outside(self.began))

    @property
    def boot(self) -> int:
        """The number of the boot that runs."""
        return len(self.outsides) - 1 + self.first

    def take(self, event: Event, now: float) -> None:
        match event:
            case ConsoleOutput(data):
                self._take_console(data, now)
            case Message():
                self._take_message(event, now)
            case MonitorEvent(name="RESET"):
                self._take_reset(now)
            case Ended():
                self._ended = event
            case MonitorEvent() | Typed():
                pass

    def stuck(self, now: float) -> ZaffreError | None:
        """Why waiting on makes no sense; None while it does."""
        if self._failure is not None:
            return self._failure
        if self._ended is not None:
            return self._end_error(self._ended)
        if self._hopeless_since is not None and now >= self._hopeless_since + _LAST_WORDS_SECONDS:
            return self._error(f"the boot stopped in the {self.console.stage}: {self.console.refusal}")
        return None

    def hangs(self, now: float) -> bool:
        """Whether an emulated machine should be reset, see `Stall`. True at most once: a second hang is no accident."""
        if self.hung is not None or self._surprises or not self._stall.lasts(now):
            return False
        self.hung = self.boot
        return True

    def out_of_time(self, seconds: float) -> ZaffreError:
        """The error for a machine that should have been done by now."""
        last = self.facts.last()
        told = f"; the last report was {last}" if last else ""
        return self._error(
            f"not done after {seconds:.0f} seconds; the boot is in the stage: {self.console.stage}{told}",
            resolution="a machine without KVM on a busy host needs longer: allow more time, or try again later",
        )

    def _take_console(self, data: bytes, now: float) -> None:
        before = self.console.stage
        self.console.feed(data)
        if before is Stage.FIRMWARE and self.console.stage is not Stage.FIRMWARE and self.outsides[-1].loader is None:
            self.outsides[-1].loader = now
        if self.console.refusal is not None and self._hopeless_since is None:
            self._hopeless_since = now
        self._stall.look(now)

    def _take_message(self, message: Message, now: float) -> None:
        fields = message.fields
        if "fact" in fields:
            self.facts.add(fields)
            return
        self.console.reached(Stage.SYSTEM)
        uptime = fields.get("uptime")
        if isinstance(uptime, int | float) and self.outsides[-1].kernel is None:
            self.outsides[-1].kernel = now - uptime
        match fields.get("event"):
            case "ready":
                self.ready = str(fields.get("state"))
            case "restart":
                self.restarting = True
            case "started" if fields.get("boot") == 1 and self.boot > 1 and self._surprises == 0:
                self.finished = True  # /var was not kept, so the second boot takes itself for the first
            case "end":
                self.finished = True
            case "failed":
                self._failure = self._error(str(fields.get("what")), _decoded(fields.get("data")))

    def _take_reset(self, now: float) -> None:
        if self.restarting:
            self.restarting = False
            self._surprises = 0
            self.outsides.append(Outside(now))
        else:
            self._surprises += 1
            self.outsides[-1] = Outside(now)
            # A version that does not come up after an update has its tries, and then the one before says so.
            on_trial = self.first == 0 and self.boot == 1
            if self._surprises > (_MOST_TRIES if on_trial else _MOST_SURPRISING_RESETS):
                self._failure = self._error(f"the machine resets again and again; last in the {self.console.stage}")
        self.console.restarted()
        self._stall.look(now)

    def _end_error(self, ended: Ended) -> ZaffreError:
        if ended.error:
            return WorldError("QEMU failed", details=ended.error)
        return self._error(f"the machine went off in the {self.console.stage}")

    def _error(self, brief: str, details: str | None = None, *, resolution: str | None = None) -> FindingError:
        tail = self.console.tail(_CONSOLE_LINES) or "(nothing)"
        said = f"{details}\n" if details else ""
        return FindingError(brief, details=f"{said}the console's last lines:\n{tail}", resolution=resolution)


def _decoded(data: object) -> str | None:
    try:
        return base64.b64decode(str(data), validate=True).decode("utf-8", "replace")
    except binascii.Error:
        return None
