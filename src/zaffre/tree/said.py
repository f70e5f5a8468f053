# SPDX-License-Identifier: Apache-2.0
"""What one package says of itself, whatever it is of."""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.bill import BillLicence, BillSystem


@dataclass(frozen=True)
class Said:
    """`beside` is the package whose documentation has what this one's licence is; `system` is what os-release says, of
    a package that brings it.
    """

    licence: BillLicence
    beside: str | None = None
    system: BillSystem | None = None
