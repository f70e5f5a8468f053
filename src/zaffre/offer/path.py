# SPDX-License-Identifier: Apache-2.0
"""From which version a node comes to which: newer ones only, over floors, never to one that is revoked."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Protocol, TypeVar

from zaffre.offer.version import version_key


class Offered(Protocol):
    """What counts of a record here."""

    @property
    def version(self) -> str: ...

    @property
    def floor(self) -> str | None: ...

    @property
    def revoked(self) -> object | None: ...


OfferedT = TypeVar("OfferedT", bound=Offered)


def newer(offers: Iterable[OfferedT], running: str) -> list[OfferedT]:
    """What a node may install that runs `running`, the newest first: newer than that, not revoked, floor met."""
    have = version_key(running)
    found = [
        one
        for one in offers
        if one.revoked is None
        and version_key(one.version) > have
        and (one.floor is None or version_key(one.floor) <= have)
    ]
    return sorted(found, key=lambda one: version_key(one.version), reverse=True)


def way(offers: Collection[OfferedT], running: str) -> tuple[str, ...]:
    """The versions that a node comes to one after another, the newest it can at each step; empty when there is none.

    It ends at the newest version that can be reached at all: who runs a newer one meets every floor that an older one
    meets.
    """
    steps: list[str] = []
    while found := newer(offers, steps[-1] if steps else running):
        steps.append(found[0].version)
    return tuple(steps)


def stranded(offers: Collection[OfferedT], running: Iterable[str]) -> tuple[str, ...]:
    """Which of the versions `running` have no way to the newest one that is not revoked."""
    good = [one.version for one in offers if one.revoked is None]
    if not good:
        return ()
    newest = version_key(max(good, key=version_key))
    return tuple(
        one
        for one in sorted(set(running), key=version_key)
        if version_key(one) < newest and version_key((way(offers, one) or (one,))[-1]) < newest
    )
