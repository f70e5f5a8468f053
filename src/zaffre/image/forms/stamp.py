# SPDX-License-Identifier: Apache-2.0
"""What takes the place of chance and of the clock in formats that want an identity and a date of birth."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from zaffre.digest import Sha256


@dataclass(frozen=True)
class Stamp:
    """`disk` is the digest of the raw disk, `epoch` the time that is said to be its birth, seconds since 1970.

    The same disk has the same identities whatever machine converts it, and another disk has others.
    """

    disk: Sha256
    epoch: int

    def uuid(self, what: str) -> uuid.UUID:
        """An identity of this disk, one for each use."""
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{self.disk} {what}")
