# SPDX-License-Identifier: Apache-2.0
"""What tests of components take of the means to make trouble."""

from support.trouble import disk, unmet

__all__ = ["disk", "unmet"]
