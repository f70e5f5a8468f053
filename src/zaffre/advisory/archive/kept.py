# SPDX-License-Identifier: Apache-2.0
"""The archive's feed as the store keeps it: read without the network, and without what it takes to make it."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from zaffre.advisory.archive.carriers import with_unsigned
from zaffre.advisory.model import Advisory, Feed, Kind, Range, Severity
from zaffre.definition import Upstream
from zaffre.digest import Sha256, sha256_file, sha256_json, source_digest
from zaffre.errors import FindingError
from zaffre.store import ActionKey, Store

FEED = "feed"
_NAMES = {
    Kind.ARCHIVE: "changelogs",
    Kind.UPDATEINFO: "advisories",
    Kind.CANDIDATES: "newer changelogs",
}


def maker_of(upstream: Upstream) -> Sha256:
    """What a feed comes of: the code, and the upstream as it is defined, its keyring included. One that was made by
    other code, or of other suites under the same name, is made anew. Raises OSError for a keyring that is not there.
    """
    return sha256_json(
        {
            "code": source_digest("advisory/archive"),
            "upstream": upstream.model_dump(mode="json", exclude={"keyring_file"}),
            "keyring": sha256_file(upstream.keyring_file),
        }
    )


def label_of(upstream: Upstream, *, candidates: bool = False) -> str:
    """Under which the store remembers which feed of an upstream was made last: its own one, or one of candidates."""
    return f"{'candidates' if candidates else 'advisories'} of {upstream.name}"


@dataclass(frozen=True)
class Kept:
    """The feed that was made last, and when the archive was asked. `raw` is what `archive_feed` or `updateinfo_feed`
    wrote.
    """

    upstream: Upstream
    asked: dt.datetime
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def find(cls, upstream: Upstream, store: Store, *, candidates: bool = False) -> Self | None:
        """None when the store has none, or one that something else made (`maker_of`)."""
        known = store.recall(label_of(upstream, candidates=candidates))
        if not known or known.get("maker") != maker_of(upstream):
            return None
        result = store.lookup(ActionKey(str(known.get("key"))))
        if result is None:
            return None
        raw = json.loads(store.path(result.outputs[FEED]).read_bytes())
        return cls(upstream, dt.datetime.fromisoformat(str(known.get("asked"))), raw)

    @property
    def chosen(self) -> frozenset[str]:
        """Sources that only a stable update has changed, and that were read."""
        return frozenset(self.raw["chosen"])

    def lacks(self, sources: Collection[str]) -> bool:
        """Whether it was made without reading one of these, or what one of them is the signed form of, as nobody had
        asked about it.
        """
        return not with_unsigned(sources, self._aliases).isdisjoint(self.raw["unread"])

    @property
    def _aliases(self) -> dict[tuple[str, str], tuple[str, str]]:
        return {(old[0], old[1]): (new[0], new[1]) for old, new in self.raw["aliases"]}

    def feed(self, max_age: dt.timedelta) -> Feed | None:
        """None for one that may be empty, and is. Raises FindingError for an archive that names nothing."""
        raw = self.raw
        kind = Kind(raw["kind"])
        binary = kind is Kind.UPDATEINFO
        records = tuple(_records(raw["records"], binary=binary))
        if not records and kind is not Kind.ARCHIVE:
            return None
        if not records:
            raise FindingError(
                f"the changelogs of '{self.upstream.name}' name no vulnerability, which no archive in use does",
                where=raw["provenance"],
                resolution="name suites that receive security updates in the upstream's definition",
            )
        return Feed(
            name=f"{_NAMES[kind]} of {self.upstream.name}",
            kind=kind,
            upstream=self.upstream.name,
            ecosystem=raw["ecosystem"],
            family=self.upstream.family,
            provenance=raw["provenance"],
            dated=dt.datetime.fromisoformat(raw["dated"]),
            max_age=max_age,
            advisories=records,
            covers=None if raw["covers"] is None else frozenset(raw["covers"]),
            aliases=self._aliases,
            doubts=tuple(raw["doubts"]),
        )


def _records(rows: Sequence[Sequence[Any]], *, binary: bool) -> Iterator[Advisory]:
    """Thousands of them, of a kernel alone: what is equal is one object, and nothing is looked up twice."""
    ranges: dict[str, tuple[Range, ...]] = {}
    severities = {str(one): one for one in Severity}
    none: frozenset[str] = frozenset()
    for identity, package, fixed, cves, summary, severity in rows:
        ranged = ranges.get(fixed)
        if ranged is None:
            ranged = ranges[fixed] = (Range(fixed=fixed),)
        yield Advisory(identity, package, ranged, tuple(cves), none, severities[severity], summary, binary)
