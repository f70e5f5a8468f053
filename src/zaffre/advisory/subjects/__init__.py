# SPDX-License-Identifier: Apache-2.0
"""Readers of what can be scanned: locks and images, builds, roots, SBOMs."""

from zaffre.advisory.subjects.read import Reader

__all__ = ["Reader"]
