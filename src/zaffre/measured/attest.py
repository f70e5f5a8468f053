# SPDX-License-Identifier: Apache-2.0
"""A node's quote held against what releases predict: whether it booted one of them, and which. Pure.

Lines stand on those before them: what the key has not signed says nothing, and a log that does not come to the signed
registers explains nothing. All are told all the same, since where it fails is what somebody wants to know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zaffre.digest import sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.measured.boot import read_boot
from zaffre.measured.judge import JUDGED, Held, judge_boot, registers_of
from zaffre.measured.prediction import Prediction
from zaffre.measured.quote import Evidence, key_text, read_quote, signed_by


@dataclass(frozen=True)
class Attested:
    """`booted` is what was booted, if it is known. It means something only if all lines hold."""

    booted: Prediction | None
    lines: tuple[Held, ...]

    @property
    def ok(self) -> bool:
        return all(line.ok for line in self.lines)


def attest(evidence: Evidence, *, nonce: bytes, pinned: bytes | None, predictions: Sequence[Prediction]) -> Attested:
    """`pinned` is the key, in PEM form, that this node is known to have; None for one that is seen for the first time.

    A part that cannot be read is a line that does not hold.
    """
    try:
        lines = [_key(evidence, pinned), _signature(evidence)]
        quoted = read_quote(evidence.attest)
        lines.append(_nonce(quoted.nonce, nonce))
        boot = read_boot(evidence.log)
    except IntegrityError as error:
        return Attested(None, (Held("quote", False, f"{error.brief}: {error.details}"),))
    booted, judged = judge_boot(boot, predictions)
    # What the log comes to is what the TPM has: that is one comparison, since a quote signs a digest of all registers.
    covered = set(quoted.registers) == set(JUDGED) and quoted.covers(registers_of(boot, booted))
    found = f"over PCR {', '.join(map(str, quoted.registers))} as the log of the boot explains them"
    lines.append(Held("quote", covered, found if covered else "not over the registers that the log comes to"))
    return Attested(booted, (*lines, *judged))


def _key(evidence: Evidence, pinned: bytes | None) -> Held:
    found = key_text(evidence.key)
    name = f"{sha256_bytes(found)[:16]}…"
    if pinned is None:
        return Held("attestation key", True, f"{name}, seen for the first time")
    same = found.strip() == pinned.strip()
    return Held("attestation key", same, f"{name}, as pinned" if same else f"{name}, and not the pinned one")


def _signature(evidence: Evidence) -> Held:
    good = signed_by(evidence)
    return Held("signature", good, "by the attestation key" if good else "not by the attestation key")


def _nonce(found: bytes, wanted: bytes) -> Held:
    return Held(
        "nonce", found == wanted, "the one that was given" if found == wanted else f"another one: {found.hex()}"
    )
