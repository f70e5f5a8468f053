# SPDX-License-Identifier: Apache-2.0
"""From a known vulnerability to a release that has it no more: lock, build, check, prove, publish."""

from zaffre.patching.bench import Bench, Order, Stage
from zaffre.patching.report import Changed, ImageReport, PatchReport, StageReport
from zaffre.patching.run import patch

__all__ = ["Bench", "Changed", "ImageReport", "Order", "PatchReport", "Stage", "StageReport", "patch"]
