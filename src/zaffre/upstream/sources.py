# SPDX-License-Identifier: Apache-2.0
"""What a component engine is told of an upstream's source package: the same words for every family."""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.upstream.lock import LockedSource


@dataclass(frozen=True)
class SourcePackage:
    """The newest version of a source package. `binaries` are names of the packages that it gives."""

    source: LockedSource
    binaries: tuple[str, ...]
