# SPDX-License-Identifier: Apache-2.0
"""The feeds of a scan: the archive's own, what the definition names, what the command line adds."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zaffre.cli.context import Workspace
from zaffre.errors import FindingError, IntegrityError, WorldError

if TYPE_CHECKING:
    from zaffre.advisory.model import Feed
    from zaffre.advisory.scan import Known
    from zaffre.advisory.subject import Platform, Subject
    from zaffre.definition import Upstream

_ASK_AFTER = dt.timedelta(hours=6)
"""The archive is asked again when it was asked longer ago. Debian's archives move four times a day."""


def known(
    work: Workspace,
    subjects: Sequence[Subject],
    *,
    given: Sequence[str],
    offline: bool,
    update: bool,
    max_age_days: int | None,
    statements: bool,
) -> Known:
    """All that is known of what the subjects are made of. `given` are files and URLs of feeds."""
    from zaffre.advisory.gather import gather
    from zaffre.advisory.matching import speaks_of
    from zaffre.advisory.scan import Known

    distribution = work.distribution if work.find_distribution() is not None else None
    gathered = gather(
        distribution,
        given,
        store=work.store,
        now=work.now,
        max_age_days=max_age_days,
        offline=offline,
        subjects=subjects,
    )
    notes: list[str] = []
    feeds = [*gathered.feeds]
    for asking in _askings(work, subjects, max_age_days):
        try:
            own = asking.feed(offline=offline, update=update)
        except IntegrityError:
            raise
        except (WorldError, FindingError) as error:
            # Without it, somebody else must know of these packages.
            if not any(speaks_of(one, asking.platform) and asking.named_in(one) for one in gathered.feeds):
                raise
            notes.append(f"the archive's own feed of '{asking.upstream.name}' is missing: {error.brief}")
            continue
        # What a newer release mends is told of this one.
        feeds += [replace(own, upstream=asking.platform.upstream)] if own is not None else []
    return Known(
        feeds=tuple(feeds),
        exploited=gathered.exploited,
        claims=gathered.claims,
        statements=distribution.statements if distribution and statements else (),
        notes=tuple(notes),
    )


def _askings(work: Workspace, subjects: Iterable[Subject], max_age_days: int | None) -> Iterable[_Asking]:
    """One for each upstream that a subject is of."""
    if work.find_distribution() is None:
        return
    found: dict[Platform, set[str]] = {}
    for one in subjects:
        found.setdefault(one.platform, set()).update(package.source for package in one.packages)
    for platform, sources in found.items():
        upstream = work.distribution.upstreams.get(platform.upstream or "")
        if upstream is not None:
            days = max_age_days or work.distribution.advisories.max_age_days
            asking = _Asking(work, upstream, platform, frozenset(sources), dt.timedelta(days=days))
            yield asking
            newer = work.distribution.advisories.candidates
            if newer is not None and newer != upstream.name and platform.has_changelogs:
                yield replace(asking, upstream=work.distribution.upstreams[newer], candidates=True)


@dataclass(frozen=True)
class _Asking:
    """The archive's feed of an upstream, for packages of these sources."""

    work: Workspace
    upstream: Upstream
    platform: Platform
    sources: frozenset[str]
    max_age: dt.timedelta
    candidates: bool = False

    def named_in(self, feed: Feed) -> bool:
        """Whether a feed says anything about these sources. One that speaks of binary packages need not name them."""
        return any(one.binary or one.package in self.sources for one in feed.advisories)

    def feed(self, *, offline: bool, update: bool) -> Feed | None:
        """From the store if the archive was asked lately and for these sources, else made anew. A mirror that does not
        answer is no reason to do without a feed that is not stale.
        """
        from zaffre.advisory.archive.kept import Kept

        before = Kept.find(self.upstream, self.work.store, candidates=self.candidates)
        usable = before is not None and not before.lacks(self.sources)
        lately = before is not None and not update and self.work.now - before.asked < _ASK_AFTER
        if before is not None and usable and (offline or lately):
            return before.feed(self.max_age)
        if offline:
            raise FindingError(
                f"the store has no feed of '{self.upstream.name}' that knows all of these packages",
                resolution="run it once without --offline",
            )
        try:
            return self._made()
        except IntegrityError:
            raise
        except WorldError as error:
            if before is None or not usable:
                raise
            self.work.progress.note(f"the archive could not be asked, so its feed is an old one: {error.brief}")
            return before.feed(self.max_age)

    def _made(self) -> Feed | None:
        from zaffre.advisory.archive.renew import Renewal
        from zaffre.cli.making import Making
        from zaffre.upstream import load_lock

        work = self.work
        lock = load_lock(work.distribution.lock_file)
        suites = lock.suites if lock else ()
        seen = {(one.archive, one.suite): one.date for one in suites if one.upstream == self.upstream.name}
        default = str(work.distribution.defaults.architecture)
        machines = [str(one) for one in self.upstream.architectures]
        renewal = Renewal(work.distribution, Making(work).mirrors, work.store, seen, work.progress)
        return renewal.feed(
            self.upstream,
            default if default in machines else machines[0],
            wanted=self.sources,
            now=work.now,
            max_age=self.max_age,
            candidates=self.candidates,
        )
