# SPDX-License-Identifier: Apache-2.0
"""What is needed and may be missing."""

from support.trouble import unmet

__all__ = ["unmet"]
