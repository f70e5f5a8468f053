# SPDX-License-Identifier: Apache-2.0
"""A file from another one and a delta: VCDIFF (RFC 3284), packed by xz, in bounded memory.

Shared by `release`, which makes deltas and tries each before it is published, and by the agent on a node. It needs
nothing but Python's own library. What does not fit raises IntegrityError; the result is to be held against its digest.
"""

from zaffre.delta.apply import apply_delta
from zaffre.delta.packed import Packed
from zaffre.delta.vcdiff import MAX_WINDOW

__all__ = ["MAX_WINDOW", "Packed", "apply_delta"]
