# SPDX-License-Identifier: Apache-2.0
"""From what a host's TPM says to a verdict: the boot that was measured is the one that the build predicts. Pure."""

from __future__ import annotations

from zaffre.errors import IntegrityError
from zaffre.machine.facts import Facts, properties
from zaffre.machine.judging import Expectations, line_of, noted
from zaffre.machine.report import CheckLine
from zaffre.measured.boot import read_boot
from zaffre.measured.judge import judge_boot, registers_of

_WANTED = "what the build's attestation.json predicts"


# Debian's kernels for these have the drivers of a TPM built in; others have them as modules, which an image need not
# have.
_WITH_DRIVERS = frozenset({"amd64"})


def measured_boot(facts: Facts, expected: Expectations) -> CheckLine:
    """Of a system that is not to see a TPM, and sees none, it is told and not judged."""
    sees_none = facts.get("tpm.version").status > 0
    if sees_none and expected.prediction is not None and expected.prediction.architecture not in _WITH_DRIVERS:
        return noted("measured-boot", "measured boot", "not known: this system has no driver for the machine's TPM")
    passed, found = _found(facts, expected)
    return line_of("measured-boot", "measured boot", passed=passed, found=found, wanted=_WANTED)


def _found(facts: Facts, expected: Expectations) -> tuple[bool, str]:
    log = facts.get("tpm.log")
    told = properties(facts.get("tpm.registers").text)
    registers = {int(name): value.lower() for name, value in told.items() if name.isdecimal()}
    if log.status != 0 or not registers or expected.prediction is None:
        return False, ""
    try:
        boot = read_boot(log.data)
    except IntegrityError as error:
        return False, f"{error.brief}: {error.details}"
    # An update leaves the boot loader as it was.
    known = [one for one in (expected.prediction, expected.earlier) if one is not None]
    booted, lines = judge_boot(boot, known)
    if booted is not None and booted != expected.prediction:
        return False, f"kernel image: of {booted.image} {booted.version}"
    explained = registers_of(boot, booted)
    if unlike := [str(number) for number, value in explained.items() if registers.get(number) != value]:
        return False, f"the log of the boot comes to other values than PCR {', '.join(unlike)}"
    wrong = [f"{line.name}: {line.found}" for line in lines if not line.ok]
    return not wrong, "; ".join(wrong) or f"as predicted: PCR 11 is {registers[11][:12]}…"
