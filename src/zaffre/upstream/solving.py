# SPDX-License-Identifier: Apache-2.0
"""What is asked of a family's solver and what it answers: the same words for every family."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from zaffre.errors import DefinitionError
from zaffre.upstream.lock import LockedPackage

_MOST_TRIALS = 6


@dataclass(frozen=True)
class SetRequest:
    """What is to be solved. `provides` may hold versions: "runc (= 1.3)". `essential`: essential packages come too.

    `relations` are needed besides `packages`, in the family's own words, alternatives and exclusions included: what
    a source says that it is built with.
    """

    name: str
    packages: tuple[str, ...]
    architecture: str
    provides: tuple[str, ...] = ()
    recommends: bool = False
    relations: tuple[str, ...] = ()
    essential: bool = True


@dataclass(frozen=True)
class Solution:
    """The packages, sorted by name. `released`: packages that could not be kept at the version asked for."""

    packages: tuple[LockedPackage, ...]
    released: tuple[str, ...] = ()


def near_names(name: str, known: Collection[str]) -> list[str]:
    """Up to three names of packages that look like `name`."""
    longer = sorted((one for one in known if one.startswith(name)), key=len)[:1]
    close = get_close_matches(name, [one for one in known if abs(len(one) - len(name)) <= 3], n=3, cutoff=0.75)
    return list(dict.fromkeys([*close, *longer]))[:3]


def with_fewest_released(
    install: Callable[[Mapping[str, str]], tuple[LockedPackage, ...]],
    pins: Mapping[str, str],
    blamed: Callable[[DefinitionError], Iterable[str]],
) -> tuple[LockedPackage, ...]:
    """Install with all pins; while they make it impossible, without those that are blamed; at last with none.

    `blamed` names what a refusal has to do with.
    """
    kept = dict(pins)
    for _ in range(_MOST_TRIALS):
        try:
            return install(kept)
        except DefinitionError as error:
            if not kept:
                raise
            culprits = kept.keys() & set(blamed(error))
            if not culprits:
                break
            for name in culprits:
                del kept[name]
    return install({})
