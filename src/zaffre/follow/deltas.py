# SPDX-License-Identifier: Apache-2.0
"""The deltas that a channel offers: targets of the pool whose `custom` field says what they are for."""

from __future__ import annotations

from collections.abc import Mapping

from tuf.api.metadata import TargetFile

from zaffre.follow.layout import pool_path
from zaffre.offer.delta import SUFFIX, Delta, Listed, delta_of

_DIGITS = 16


def deltas_of(targets: Mapping[str, TargetFile]) -> tuple[Listed, ...]:
    """All of them. A target that is none, or is in a form that is not known, is left out."""
    found = []
    for path, target in targets.items():
        if not path.endswith(SUFFIX):
            continue
        delta, digest = delta_of(target.custom), target.hashes.get("sha256")
        if delta is not None and digest is not None and path == delta_path(digest, delta):
            found.append(Listed(delta, path, target.length, digest))
    return tuple(found)


def delta_path(sha256: str, delta: Delta) -> str:
    """The target's path of a delta with that digest. Deltas from two files may be the same bytes, so the source is in
    its name.
    """
    return pool_path(sha256, f"{delta.file}.{delta.source.sha256[:_DIGITS]}{SUFFIX}")
