# SPDX-License-Identifier: Apache-2.0
"""What became of an overlay that was tried on a source."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from zaffre.definition import Overlay


class Fit(StrEnum):
    """How an overlay stands to a source."""

    CLEAN = "clean"
    OBSOLETE = "obsolete"
    CONFLICT = "conflict"


@dataclass(frozen=True)
class Outcome:
    """`where` is the operation at fault. `unsure` says what could not be found out about one that is clean."""

    overlay: Overlay
    fit: Fit
    why: str = ""
    where: str = ""
    details: str = ""
    unsure: str = ""
