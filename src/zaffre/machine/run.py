# SPDX-License-Identifier: Apache-2.0
"""Boots an image and hands its console to the terminal: `zaffre run`.

The system tells by itself when it is up (an injected unit, the virtio port); nothing is guessed from the console.
"""

from __future__ import annotations

import os
import termios
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from zaffre.machine.boot import Guest, boot
from zaffre.machine.console import PlainText, Stage
from zaffre.machine.inject import ready_credentials
from zaffre.machine.qemu import ConsoleOutput, Ended, Machine, Typed
from zaffre.machine.spec import Accelerator
from zaffre.machine.watch import Watch
from zaffre.sandbox import Sandbox
from zaffre.store import Store

ESCAPE = b"\x1d"
"""Ctrl-], as in telnet(1): ends the machine from an interactive console."""

_POWER_DOWN_SECONDS = 60.0


@dataclass(frozen=True)
class RunReport:
    """`state` is what the system settled in, "running" when all is well; None when it ended before."""

    state: str | None
    seconds_to_ready: float | None
    seconds: float


@dataclass(frozen=True)
class Terminal:
    """File descriptors of the user's terminal. `input` is None when nothing is to be typed into the guest;
    what is no terminal (a pipe, a file) is not read either."""

    output: int
    input: int | None = None


def run_image(
    guest: Guest,
    accelerator: Accelerator,
    *,
    store: Store,
    sandbox: Sandbox,
    terminal: Terminal,
    on_ready: Callable[[str, float], None],
    seconds_to_ready: float,
    stop_when_ready: bool = False,
) -> RunReport:
    """Until the guest ends, or the user ends it: Ctrl-C (Ctrl-] on an interactive console) presses the power
    button, and a second time pulls the plug.

    Raises FindingError when the boot stops or isn't settled after `seconds_to_ready`.
    """
    if terminal.input is not None and not os.isatty(terminal.input):
        terminal = replace(terminal, input=None)
    guest = replace(guest, credentials={**guest.credentials, **ready_credentials()})
    with _raw(terminal.input), boot(guest, accelerator, store=store, sandbox=sandbox) as machine:
        session = _Session(
            machine,
            terminal,
            on_ready,
            seconds_to_ready,
            stop_when_ready=stop_when_ready,
            emulated=accelerator is Accelerator.TCG,
        )
        return session.follow()


class _Session:
    def __init__(
        self,
        machine: Machine,
        terminal: Terminal,
        on_ready: Callable[[str, float], None],
        seconds_to_ready: float,
        *,
        stop_when_ready: bool,
        emulated: bool,
    ) -> None:
        self._machine = machine
        self._emulated = emulated
        self._terminal = terminal
        self._on_ready = on_ready
        self._limit = seconds_to_ready
        self._stop_when_ready = stop_when_ready
        self._watch = Watch(time.monotonic())
        self._ready_after: float | None = None
        self._off_by: float | None = None
        self._over = False
        self._plain = PlainText()

    def follow(self) -> RunReport:
        while not self._over:
            try:
                self._turn()
            except KeyboardInterrupt:
                self._end_wanted()
        return RunReport(
            state=self._watch.ready,
            seconds_to_ready=self._ready_after,
            seconds=time.monotonic() - self._watch.began,
        )

    def _turn(self) -> None:
        now = time.monotonic()
        if self._off_by is not None:
            self._over = now >= self._off_by
        elif self._ready_after is None:
            if (error := self._watch.stuck(now)) is not None:
                raise error
            if now >= self._watch.began + self._limit:
                raise self._watch.out_of_time(self._limit)
            if self._emulated and self._watch.hangs(now):
                _write(self._terminal.output, b"\r\nthe emulated kernel hangs: the machine is started again\r\n")
                self._machine.reset()
        for event in self._machine.events(now + 1.0, terminal=self._terminal.input):
            self._watch.take(event, time.monotonic())
            match event:
                case ConsoleOutput(data):
                    self._show(data)
                case Typed(data):
                    self._typed(data)
                case Ended():
                    self._over = self._over or self._ready_after is not None or self._off_by is not None
                case _:
                    self._look_for_readiness()
            if self._over:
                return

    def _show(self, data: bytes) -> None:
        """What the firmware does to a screen (clear it, resize it) is not done to the user's terminal."""
        early = self._watch.console.stage in {Stage.FIRMWARE, Stage.LOADER}
        _write(self._terminal.output, self._plain.feed(data) if early else data)

    def _look_for_readiness(self) -> None:
        if self._watch.ready is None or self._ready_after is not None:
            return
        self._ready_after = time.monotonic() - self._watch.began
        self._on_ready(self._watch.ready, self._ready_after)
        self._over = self._stop_when_ready

    def _typed(self, data: bytes) -> None:
        before, *escapes = data.split(ESCAPE)
        if before:
            self._machine.type(before)
        for _ in escapes:
            self._end_wanted()

    def _end_wanted(self) -> None:
        if self._off_by is not None:
            self._over = True
            return
        self._off_by = time.monotonic() + _POWER_DOWN_SECONDS
        self._machine.power_down()


def _write(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


@contextmanager
def _raw(fd: int | None) -> Iterator[None]:
    """Every key goes to the guest, Ctrl-C included; the terminal is as before afterwards, whatever happened."""
    if fd is None:
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
