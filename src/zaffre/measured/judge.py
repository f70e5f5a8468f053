# SPDX-License-Identifier: Apache-2.0
"""A measured boot held against what builds predict. Pure.

A log only explains what a TPM says: one that does not come to the TPM's registers explains nothing, and whoever judges
by it has seen to that first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from zaffre.digest import Sha256
from zaffre.measured.boot import PROGRAMS, SECURE_BOOT, MeasuredBoot
from zaffre.measured.eventlog import ZERO
from zaffre.measured.prediction import BESIDE_REGISTERS, KERNEL_REGISTER, Prediction, after_phases

JUDGED: Final = (PROGRAMS, SECURE_BOOT, KERNEL_REGISTER, *BESIDE_REGISTERS)
"""The PCRs by which a boot is judged."""
_PROGRAMS = 2
"""The boot loader and the kernel image."""


@dataclass(frozen=True)
class Held:
    """One thing that was looked at; `found` says what was seen, or what did not hold."""

    name: str
    ok: bool
    found: str


def registers_of(boot: MeasuredBoot, booted: Prediction | None) -> dict[int, str]:
    """What the registers by which a boot is judged hold in the end: what firmware's log comes to, and the phases of the
    host that was booted, which that log does not have.
    """
    found: dict[int, str] = {number: boot.registers.get(number, ZERO) for number in JUDGED}
    if booted is not None:
        found[KERNEL_REGISTER] = after_phases(found[KERNEL_REGISTER], booted.phases)
    return found


def judge_boot(boot: MeasuredBoot, predictions: Sequence[Prediction]) -> tuple[Prediction | None, tuple[Held, ...]]:
    """Which build was booted, if it is one of them, and all that was looked at."""
    loaders = {one.loader for one in predictions}
    booted = next((one for one in predictions if boot.programs[1:_PROGRAMS] == (one.kernel_image,)), None)
    return booted, (
        _secure_boot(boot, {one.certificate for one in predictions}),
        _loader(boot, loaders),
        _kernel_image(boot, booted),
        _nothing_else(boot),
        *_registers(registers_of(boot, None), booted),
    )


def _secure_boot(boot: MeasuredBoot, owners: set[str]) -> Held:
    strangers = [one for one in boot.authorities if one not in owners]
    if not boot.enforced:
        found = "off"
    elif not boot.authorities:
        found = "on, but no certificate was asked for"
    elif strangers:
        found = f"on, but a certificate of somebody else's was used: {_short(strangers)}"
    else:
        found = f"on, by the owner's certificate {_short(boot.authorities)}"
    return Held("Secure Boot", boot.enforced and bool(boot.authorities) and not strangers, found)


def _loader(boot: MeasuredBoot, loaders: set[str]) -> Held:
    first = boot.programs[:1]
    known = bool(first) and first[0] in loaders
    found = f"{_short(first)}, {'of a release' if known else 'of no release'}" if first else "none was started"
    return Held("boot loader", known, found)


def _kernel_image(boot: MeasuredBoot, booted: Prediction | None) -> Held:
    started = boot.programs[1:_PROGRAMS]
    if booted is not None:
        found = f"{_short(started)}, of {booted.image} {booted.version}"
    else:
        found = f"{_short(started)}, of no release" if started else "none was started"
    return Held("kernel image", booted is not None, found)


def _nothing_else(boot: MeasuredBoot) -> Held:
    more = [f"a program {_short([one])}" for one in boot.programs[_PROGRAMS:]]
    found = "; ".join([*more, *boot.odd]) or "no other program, nothing that was not foreseen"
    return Held("what else was measured", not more and not boot.odd, found)


def _registers(registers: Mapping[int, str], booted: Prediction | None) -> tuple[Held, ...]:
    wanted: Mapping[int, str] = booted.registers if booted is not None else {}
    whats = {KERNEL_REGISTER: "parts of the kernel image", **dict.fromkeys(BESIDE_REGISTERS, "beside the kernel image")}
    return tuple(
        Held(f"PCR {number}, {what}", registers[number] == wanted.get(number), found)
        for number, what in whats.items()
        for found in [_register(registers[number], wanted.get(number))]
    )


def _register(value: str, wanted: str | None) -> str:
    if wanted is None:
        return "nothing to hold it against"
    if value == wanted:
        return "nothing was taken" if value == ZERO else f"{value[:16]}… as predicted"
    return f"{value[:16]}… and not {wanted[:16]}…"


def _short(digests: Sequence[Sha256]) -> str:
    return ", ".join(f"{one[:16]}…" for one in digests)
