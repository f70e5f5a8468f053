# SPDX-License-Identifier: Apache-2.0
"""What of an image faces an attacker, counted, and held against a budget."""

from zaffre.surface.binaries import Binary, Hardening, hardening_of
from zaffre.surface.budget import require_within_budget
from zaffre.surface.facts import Facts, facts_of
from zaffre.surface.kernel import KernelJudgement, KernelLack
from zaffre.surface.report import Excess, SurfaceReport, UnitExposure, judged

__all__ = [
    "Binary",
    "Excess",
    "Facts",
    "Hardening",
    "KernelJudgement",
    "KernelLack",
    "SurfaceReport",
    "UnitExposure",
    "facts_of",
    "hardening_of",
    "judged",
    "require_within_budget",
]
