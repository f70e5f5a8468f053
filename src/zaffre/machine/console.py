# SPDX-License-Identifier: Apache-2.0
"""What a serial console says: its last lines, how far the boot is, and words after which it cannot go on. Pure."""

from __future__ import annotations

import re
from collections import deque
from enum import StrEnum

_LONGEST_LINE = 2000
_MOST_DENIALS = 1000
_KEPT_LINES = 400

# ECMA-48 control sequences (CSI ... final byte), operating system commands, two-character escapes.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-Z\\^_=>]")
_BEGUN_ESCAPE = re.compile(rb"\x1b(?:\[[0-?]{0,32}[ -/]{0,8})?\Z")
_UNPRINTABLE = re.compile(r"[^\t\x20-\x7e\u00a0-\uffff]")


class Stage(StrEnum):
    """How far a boot has come, by what was printed; a quiet kernel leaves `LOADER` on the record until the system."""

    FIRMWARE = "firmware"
    LOADER = "boot loader"
    KERNEL = "kernel"
    INITRD = "initrd"
    SYSTEM = "system"


_ORDER = list(Stage)

# Firmware: edk2, MdeModulePkg/Universal/BdsDxe; kernel: the EFI stub and start_kernel(); systemd: src/core/main.c.
_SIGNS: tuple[tuple[Stage, re.Pattern[str]], ...] = (
    (Stage.LOADER, re.compile(r"BdsDxe: starting Boot")),
    (Stage.KERNEL, re.compile(r"EFI stub: |^\[ *\d+\.\d{6}\] ")),
    (Stage.INITRD, re.compile(r"Booting initrd of |Running in initrd")),
    (Stage.SYSTEM, re.compile(r"Welcome to ")),
)

# Words of the firmware and the boot loader; a running system may use the same ones for lesser things.
_EARLY_REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"Security Violation|Access Denied", re.IGNORECASE), "a signature was refused"),
    (re.compile(r"BdsDxe: No bootable option or device was found"), "the firmware found nothing to boot"),
)
_REFUSALS: tuple[tuple[re.Pattern[str], str], ...] = (
    # Except one: on a busy host an emulated timer can fail the kernel's test of it (check_timer() in io_apic.c), and
    # the restart after the panic mends it.
    (re.compile(r"Kernel panic - not syncing: (?!IO-APIC \+ timer)"), "the kernel gave up"),
    (re.compile(r"You are in emergency mode|Cannot open access to console"), "the system fell into emergency mode"),
    (re.compile(r"Freezing execution"), "the init system gave up"),
)
# kernel/rcu/tree_stall.h and kernel/watchdog.c: a processor that has not been heard of for 20 seconds and more.
_STALL = re.compile(r"rcu: INFO: \w+ (?:self-)?detected |watchdog: BUG: soft lockup")

_DENIED = re.compile(r"\bavc: +denied\b|\baudit: type=1401\b")
_CLOCK = re.compile(r"^\[ *\d+\.\d{6}\] ")


class ConsoleLog:
    """Takes bytes as they come, and looks at whole lines. `stalled`: the kernel has said that a processor hangs.
    `denials` are what the kernel says there that SELinux has refused, without its clock.
    """

    def __init__(self) -> None:
        self.stage = Stage.FIRMWARE
        self.refusal: str | None = None
        self.stalled = False
        self.denials: list[str] = []
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._open = b""

    def feed(self, data: bytes) -> None:
        *whole, self._open = (self._open + data).replace(b"\r", b"\n").split(b"\n")
        for raw in whole:
            line = _plain(raw)
            self._lines.append(line)
            self._judge(line)
        if len(self._open) > _LONGEST_LINE:
            self._lines.append(_plain(self._open))
            self._open = b""

    def tail(self, count: int) -> str:
        """The last lines that are not empty, without escape sequences."""
        lines = [line for line in (*self._lines, _plain(self._open)) if line.strip()]
        return "\n".join(lines[-count:])

    def restarted(self) -> None:
        """The machine was reset: the stages begin again."""
        self.stage = Stage.FIRMWARE
        self.stalled = False

    def reached(self, stage: Stage) -> None:
        """Another witness (a notification) says how far the boot is."""
        if _ORDER.index(stage) > _ORDER.index(self.stage):
            self.stage = stage

    def _judge(self, line: str) -> None:
        for stage, sign in _SIGNS:
            if sign.search(line):
                self.reached(stage)
        self.stalled |= _STALL.search(line) is not None
        if _DENIED.search(line) and len(self.denials) < _MOST_DENIALS:
            self.denials.append(_CLOCK.sub("", line).strip())
        early = _EARLY_REFUSALS if self.stage in {Stage.FIRMWARE, Stage.LOADER} else ()
        if self.refusal is None:
            found = (f"{words}: {line.strip()}" for sign, words in (*early, *_REFUSALS) if sign.search(line))
            self.refusal = next(found, None)


class PlainText:
    """A console's text and line ends only, however the bytes come in: an escape sequence that isn't whole is held."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        data = self._held + data
        begun = _BEGUN_ESCAPE.search(data)
        self._held = begun.group() if begun else b""
        whole = data[: len(data) - len(self._held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return b"\r\n".join(_plain(line).encode() for line in whole.split(b"\n"))


def _plain(raw: bytes) -> str:
    return _UNPRINTABLE.sub("", _ESCAPES.sub("", raw.decode("utf-8", "replace")))
