# SPDX-License-Identifier: Apache-2.0
"""Who of a set of packages needs whom, whatever family they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zaffre.definition import Upstream
from zaffre.store import Store
from zaffre.tree.configure import handles_single_packages
from zaffre.upstream.lock import LockedPackage


def dependants(packages: Sequence[LockedPackage], *, upstream: Upstream, store: Store) -> Mapping[str, tuple[str, ...]]:
    """By a package's name, those that depend on it directly.

    Nothing is fetched or unpacked for it, so only packages count that the store has unpacked before; RPM packages
    are not unpacked one by one, and nothing is said of them.
    """
    if not handles_single_packages(upstream):
        return {}
    from zaffre.tree.deb import dependants as deb  # noqa: PLC0415 - only the family that is used

    return deb.dependants(packages, store=store)
