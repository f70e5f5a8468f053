# SPDX-License-Identifier: Apache-2.0
"""What a channel offers to a node, and what a node may make of it. Pure: no clock, no network, no files.

Written by `release` into signed metadata, read by the agent on a node; both must mean the same by it, so it belongs to
neither, and imports nothing of ours.
"""

from zaffre.offer.decision import Act, Decision, Node, Policy, decide
from zaffre.offer.delta import Delta, Listed, delta_of, smallest
from zaffre.offer.extension import Carried, Move, decide_extension
from zaffre.offer.extension import Step as ExtensionStep
from zaffre.offer.path import newer, stranded, way
from zaffre.offer.record import Evidence, Halt, Record, Revocation, Rollout, Step
from zaffre.offer.turn import Schedule, position
from zaffre.offer.version import version_key
from zaffre.offer.window import Window

__all__ = [
    "Act",
    "Carried",
    "Decision",
    "Delta",
    "Evidence",
    "ExtensionStep",
    "Halt",
    "Listed",
    "Move",
    "Node",
    "Policy",
    "Record",
    "Revocation",
    "Rollout",
    "Schedule",
    "Step",
    "Window",
    "decide",
    "decide_extension",
    "delta_of",
    "newer",
    "position",
    "smallest",
    "stranded",
    "version_key",
    "way",
]
