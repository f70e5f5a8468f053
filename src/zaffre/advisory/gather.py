# SPDX-License-Identifier: Apache-2.0
"""Feeds that are files or at addresses: those that the definition names, and those that were asked for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

from zaffre.advisory.formats import Document, read_feed
from zaffre.advisory.model import Exploited, Feed
from zaffre.advisory.place import Place, bytes_at
from zaffre.advisory.statements import Claims
from zaffre.advisory.subject import Platform, Subject
from zaffre.advisory.subjects.platforms import platform_of
from zaffre.definition import Advisories, Distribution
from zaffre.store import Store


@dataclass(frozen=True)
class Gathered:
    """What was read, by what it says."""

    feeds: tuple[Feed, ...] = ()
    exploited: tuple[Exploited, ...] = ()
    claims: tuple[Claims, ...] = ()


def gather(
    distribution: Distribution | None,
    given: Sequence[str],
    *,
    subjects: Sequence[Subject],
    store: Store,
    now: dt.datetime,
    max_age_days: int | None,
    offline: bool,
) -> Gathered:
    """Read every feed. One that is given and does not name its distribution is taken to be of the first subject's.

    Raises DefinitionError and FindingError for what is none or is empty, WorldError for what can't be had,
    IntegrityError for a feed whose signature does not hold.
    """
    found: list[Feed | Exploited | Claims] = []
    for source in distribution.advisories.feeds if distribution else ():
        platform = platform_of(distribution.upstream(source.upstream)) if distribution else None
        keyring = distribution.path(source.keyring) if distribution and source.keyring else None
        local = distribution.path(source.file) if distribution and source.file else None
        place = Place(str(local or source.url), keyring)
        data = bytes_at(place, store=store, now=now, offline=offline)
        age = dt.timedelta(days=max_age_days or source.max_age_days)
        found += read_feed(Document(source.file or place.shown, data, age, platform), source.kind, now=now)
    for name in given:
        place = Place(name)
        data = bytes_at(place, store=store, now=now, offline=offline)
        age = dt.timedelta(days=max_age_days or _default_age(distribution))
        found += read_feed(Document(place.shown, data, age, _first(subjects)), None, now=now)
    return Gathered(
        tuple(one for one in found if isinstance(one, Feed)),
        tuple(one for one in found if isinstance(one, Exploited)),
        tuple(one for one in found if isinstance(one, Claims)),
    )


def _default_age(distribution: Distribution | None) -> int:
    return (distribution.advisories if distribution else Advisories()).max_age_days


def _first(subjects: Sequence[Subject]) -> Platform | None:
    return subjects[0].platform if subjects else None
