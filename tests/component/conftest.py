# SPDX-License-Identifier: Apache-2.0
"""What tests of components share."""

from __future__ import annotations

from support.trouble import unmet

__all__ = ["unmet"]
