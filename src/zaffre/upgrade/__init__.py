# SPDX-License-Identifier: Apache-2.0
"""`zaffre upgrade plan`: what taking a running machine from one lock to another would mean, and whether it can be done.

Only Debian packages are upgraded in place, so this package knows that family and no other.
"""

from zaffre.upgrade.model import Plan
from zaffre.upgrade.plan import Order, Planner

__all__ = ["Order", "Plan", "Planner"]
