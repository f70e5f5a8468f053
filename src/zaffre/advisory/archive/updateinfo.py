# SPDX-License-Identifier: Apache-2.0
"""The default feed of an RPM upstream: the advisories that its repositories publish with their packages, if they do."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from zaffre.advisory.archive.kept import FEED, Kept, label_of, maker_of
from zaffre.advisory.model import Feed, Kind, Severity
from zaffre.definition import RpmUpstream
from zaffre.digest import JSON, canonical_json
from zaffre.store import Action, ActionResult, Store
from zaffre.upstream.rpm.family import RpmRepositories
from zaffre.upstream.rpm.index import RpmIndex
from zaffre.upstream.rpm.updateinfo import Advisory, advisories

_SECURITY = "security"


def updateinfo_feed(
    upstream: RpmUpstream, repositories: RpmRepositories, *, store: Store, now: dt.datetime, max_age: dt.timedelta
) -> Feed | None:
    """The feed of repositories that were verified at `now`; None when none of them publishes advisories.

    Advisories name binary packages. Raises IntegrityError for malformed ones.
    """
    indexes = repositories.indexes.indexes
    inputs: dict[str, JSON] = {
        "releases": {f"{one.archive} {one.suite}": one.release_sha256 for one in repositories.indexes.suites},
        "maker": maker_of(upstream),
    }
    label = label_of(upstream)
    action = Action(kind="archive-feed", label=label, inputs=inputs, reason="repositories say what their packages mend")
    if store.lookup(action.key) is None:
        read = [(index, advisories(index, repositories.metadata)) for index in indexes]
        made = _made(upstream, [(index, found) for index, found in read if found])
        store.record(action.key, action, ActionResult({FEED: store.add_bytes(canonical_json(made))}, {}))
    store.remember(label, {"key": action.key, "asked": now.isoformat(), "maker": maker_of(upstream)})
    kept = Kept.find(upstream, store)
    if kept is None:
        raise AssertionError
    return kept.feed(max_age)


def _made(upstream: RpmUpstream, read: Sequence[tuple[RpmIndex, Sequence[Advisory]]]) -> dict[str, JSON]:
    suites = [index.suite for index, _ in read]
    return {
        "kind": Kind.UPDATEINFO,
        "ecosystem": upstream.ecosystem or upstream.name,
        "provenance": "verified repositories: "
        + ", ".join(f"{one.suite} of {one.date:%Y-%m-%d %H:%M} UTC" for one in suites),
        "dated": max((one.date for one in suites), default=dt.datetime.fromtimestamp(0, dt.UTC)).isoformat(),
        "records": [list(row) for row in sorted({row for _, found in read for one in found for row in _rows(one)})],
        "covers": None,
        "aliases": [],
        "chosen": [],
        "unread": [],
        "doubts": [],
    }


def _rows(one: Advisory) -> Iterator[tuple[str, str, str, tuple[str, ...], str, str]]:
    if one.kind == _SECURITY or one.cves:
        for package in one.packages:
            yield one.id, package.name, package.version, one.cves, one.title, str(Severity.of(one.severity))
