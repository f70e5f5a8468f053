# SPDX-License-Identifier: Apache-2.0
"""Ask the archive what is new, and make its feed of that."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from zaffre.advisory.archive.feed import archive_feed
from zaffre.advisory.archive.updateinfo import updateinfo_feed
from zaffre.advisory.model import Feed
from zaffre.definition import Distribution, RpmUpstream, Upstream
from zaffre.progress import SILENT, Progress
from zaffre.store import Store
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.download import Limits
from zaffre.upstream.fetch import fetch
from zaffre.upstream.lock import LockedPackage
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.rpm.family import RpmFamily


@dataclass(frozen=True)
class Renewal:
    """What it takes. `not_before` holds dates of Releases that were seen before, by (archive, suite)."""

    distribution: Distribution
    mirrors: Mirrors
    store: Store
    not_before: Mapping[tuple[str, str], dt.datetime]
    progress: Progress = SILENT
    limits: Limits | None = None

    def feed(
        self,
        upstream: Upstream,
        architecture: str,
        *,
        wanted: Collection[str],
        now: dt.datetime,
        max_age: dt.timedelta,
        candidates: bool = False,
    ) -> Feed | None:
        """The feed of what the mirrors have now (see `archive_feed` and `updateinfo_feed`).

        Raises what locking raises for mirrors, and for packages.
        """
        if isinstance(upstream, RpmUpstream):
            found = RpmFamily(upstream).refresh(
                self.mirrors,
                self.store,
                architectures=[architecture],
                now=now,
                not_before=self.not_before,
                progress=self.progress,
                limits=self.limits,
            )
            return updateinfo_feed(upstream, found, store=self.store, now=now, max_age=max_age)
        acceptance = Acceptance(self.distribution.upstreams.values(), self.store, now=now)

        def bring(packages: Sequence[LockedPackage]) -> None:
            fetch(packages, self.mirrors, self.store, self.progress, acceptance=acceptance, limits=self.limits)

        indexes = refresh(
            upstream,
            self.mirrors,
            self.store,
            architectures=[architecture],
            now=now,
            not_before=self.not_before,
            progress=self.progress,
            limits=self.limits,
        )
        return archive_feed(
            upstream,
            indexes,
            architecture=architecture,
            publisher=self.distribution.identity.id.upper(),
            wanted=wanted,
            fetch=bring,
            store=self.store,
            now=now,
            max_age=max_age,
            candidates=candidates,
            progress=self.progress,
        )
