# SPDX-License-Identifier: Apache-2.0
"""How releases reach a fleet: the pace at which nodes take one, and what a schedule does to a fleet."""

from zaffre.release.picture import picture
from zaffre.release.simulate import Bad, Fleet, Outcome, Rollout, simulate
from zaffre.release.waves import Schedule, position

__all__ = ["Bad", "Fleet", "Outcome", "Rollout", "Schedule", "picture", "position", "simulate"]
