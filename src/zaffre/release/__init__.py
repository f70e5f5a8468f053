# SPDX-License-Identifier: Apache-2.0
"""How releases reach a fleet: what is published, who signs it, and what a wave schedule does to a fleet.

    build + its check -> candidate -> record in a channel's signed metadata -> files on any web server

The metadata are those of TUF (The Update Framework, specification 1.0), by python-tuf. What the record says to a node
is `zaffre.offer`'s.
"""

from zaffre.offer import Schedule, position
from zaffre.release.picture import picture
from zaffre.release.simulate import Bad, Fleet, Outcome, Rollout, simulate

__all__ = ["Bad", "Fleet", "Outcome", "Rollout", "Schedule", "picture", "position", "simulate"]
