# SPDX-License-Identifier: Apache-2.0
"""A root of trust, as a file that somebody was given."""

from __future__ import annotations

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root

from zaffre.errors import IntegrityError
from zaffre.follow.layout import ROOT_ROLE

_WORDS = "it must be the root.json that 'zaffre release init' wrote"


def require_root(data: bytes) -> None:
    """Raises IntegrityError unless `data` are metadata of TUF's role `root`, signed by as many of its own keys as it
    demands. Whether they have expired says nothing: a client goes on from there to newer ones.
    """
    try:
        found: Metadata[Root] = Metadata.from_bytes(data)
        if not isinstance(found.signed, Root):
            raise IntegrityError("metadata of another role", resolution=_WORDS)
        found.verify_delegate(ROOT_ROLE, found)
    except RepositoryError as error:
        raise IntegrityError("no root of trust", details=str(error), resolution=_WORDS) from error
