# SPDX-License-Identifier: Apache-2.0
"""Which locked package files are still to be had. Apart from `fetch`, as most builds need no HTTP client."""

from __future__ import annotations

from collections.abc import Iterable

from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.lock import LockedPackage


def missing(
    packages: Iterable[LockedPackage], store: Store, acceptance: Acceptance | None = None
) -> tuple[LockedPackage, ...]:
    """Those whose file is not in the store, or is not accepted yet; each digest once."""
    unique = {package.digest: package for package in packages}
    absent = store.absent(unique)
    if acceptance is not None:
        absent |= {package.digest for package in acceptance.pending(unique.values())}
    return tuple(package for digest, package in unique.items() if digest in absent)
