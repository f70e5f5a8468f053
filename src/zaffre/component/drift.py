# SPDX-License-Identifier: Apache-2.0
"""Every deviation from the upstreams, why it is there, how old it is, and whether it is still needed. Pure.

What is not known is said to be unknown, with the reason: a deviation is called current only when its source was
looked at and its end has not come.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from zaffre.component.outcome import Fit, Outcome
from zaffre.definition import Category, Component, Distribution, Overlay, UpstreamStatus
from zaffre.upstream.lock import Lock, LockedComponent, LockedSet
from zaffre.upstream.lock import Outcome as Built


class State(StrEnum):
    """What is to be thought of a deviation."""

    CURRENT = "current"
    UNKNOWN = "unknown"
    EXPIRED = "expired"
    OBSOLETE = "obsolete"
    CONFLICTING = "conflicting"
    UNAPPLIED = "unapplied"

    @property
    def finding(self) -> bool:
        """Whether somebody has to do something about it."""
        return self in {State.EXPIRED, State.OBSOLETE, State.CONFLICTING, State.UNAPPLIED}


@dataclass(frozen=True)
class Examined:
    """What trying the overlays on the upstream's source gave; without outcomes, `unknown` says why.

    `unapplied` says why the lock has the upstream's own packages, in which no overlay is.
    """

    outcomes: tuple[Outcome, ...] = ()
    unknown: str = ""
    unapplied: str = ""


@dataclass(frozen=True)
class Deviation:
    """One overlay. `because` says what the state follows from; `version` is the upstream's, if it is known."""

    component: str
    overlay: str
    category: Category
    reason: str
    upstream_status: UpstreamStatus
    links: tuple[str, ...]
    since: dt.date
    until: str | dt.date
    age_days: int
    version: str | None
    state: State
    because: str


@dataclass(frozen=True)
class Drift:
    """`inherited` of the `components` are the upstream's, unchanged; `own` come from no upstream of packages."""

    components: int
    inherited: int
    own: int
    deviations: tuple[Deviation, ...]

    @property
    def findings(self) -> tuple[Deviation, ...]:
        return tuple(one for one in self.deviations if one.state.finding)


def unapplied(distribution: Distribution, lock: Lock, installed: LockedSet) -> tuple[LockedComponent, ...]:
    """Components whose packages an image takes from the upstream, without what our overlays would have changed."""
    names = {package.name for package in installed.packages}
    return tuple(
        one
        for one in lock.components
        if one.outcome is Built.UPSTREAM_BINARY
        and (one.upstream, one.architecture) == (installed.upstream, installed.architecture)
        and distribution.component(one.name).overlays
        and not names.isdisjoint(one.gives)
    )


def drift(
    components: Iterable[Component],
    *,
    today: dt.date,
    versions: Mapping[str, str],
    examined: Callable[[Component], Examined],
) -> Drift:
    """All deviations of these components. `versions` are the upstream's, by component; `examined` is asked for those
    with overlays only."""
    total = inherited = own = 0
    deviations: list[Deviation] = []
    for component in components:
        total += 1
        inherited += component.inherited
        own += component.source.kind in {"go-module", "files"}
        if component.overlays:
            seen = examined(component)
            outcomes = {one.overlay.file: one for one in seen.outcomes}
            facts = _Facts(component, today, versions.get(component.name), outcomes, seen)
            deviations += map(facts.judged, component.overlays)
    return Drift(total, inherited, own, tuple(deviations))


@dataclass(frozen=True)
class _Facts:
    """What is known about a component whose overlays are judged."""

    component: Component
    today: dt.date
    version: str | None
    outcomes: Mapping[str, Outcome]
    seen: Examined

    def judged(self, overlay: Overlay) -> Deviation:
        state, because = self._state(overlay)
        return Deviation(
            component=self.component.name,
            overlay=overlay.file,
            category=overlay.category,
            reason=overlay.reason,
            upstream_status=overlay.upstream_status,
            links=overlay.links,
            since=overlay.since,
            until=overlay.until,
            age_days=(self.today - overlay.since).days,
            version=self.version,
            state=state,
            because=because,
        )

    def _state(self, overlay: Overlay) -> tuple[State, str]:
        """The gravest state, and what speaks for it."""
        if self.seen.unapplied:
            return State.UNAPPLIED, self.seen.unapplied
        outcome = self.outcomes.get(overlay.file)
        if outcome and outcome.fit is Fit.CONFLICT:
            return State.CONFLICTING, ": ".join(one for one in (outcome.where, outcome.why, outcome.details) if one)
        if outcome and outcome.fit is Fit.OBSOLETE:
            return State.OBSOLETE, outcome.why
        expired, doubt = self._expired(overlay)
        if expired:
            return State.EXPIRED, expired
        doubts = [doubt, self.seen.unknown or (outcome.unsure if outcome else "")]
        said = "; ".join(one for one in doubts if one)
        return (State.UNKNOWN, said) if said else (State.CURRENT, "")

    def _expired(self, overlay: Overlay) -> tuple[str, str]:
        """Why its time has come, and why that is not known."""
        until = overlay.until
        if isinstance(until, dt.date):
            return (f"it was to be looked at on {until}" if until <= self.today else ""), ""
        if self.version is None:
            return "", f"the lock has no version of the upstream's to compare {until} with"
        try:
            # It needs what talks to repositories, and most distributions have few overlays with a version.
            from zaffre.component.upstreamversion import reached  # noqa: PLC0415

            come = reached(self.version, until, self.component.source.kind)
        except ValueError as error:
            return "", str(error)
        return (f"the upstream has {self.version}, and it was for versions before {until}" if come else ""), ""
