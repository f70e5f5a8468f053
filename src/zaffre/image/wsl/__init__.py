# SPDX-License-Identifier: Apache-2.0
"""A distribution for the Windows Subsystem for Linux: making its `.wsl` file, and holding one against the rules."""

from zaffre.image.wsl.report import Severity, WslReport
from zaffre.image.wsl.rules import check_wsl

__all__ = ["Severity", "WslReport", "check_wsl"]
