# SPDX-License-Identifier: Apache-2.0
"""The default feed of a Debian upstream: made of verified indexes, kept in the store, renewed when it is old.

It hangs on the chain that packages hang on: the keyring, the signed Release, the index, the package's digest. What is
asked of the network is what a lock would ask; packages are fetched only where the store does not know their changelog.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Collection, Mapping, Sequence

from zaffre.advisory.archive.carriers import Carrier, carriers, signed_forms, sources_of, with_unsigned
from zaffre.advisory.archive.changelog import Fix
from zaffre.advisory.archive.kept import FEED, Kept, label_of, maker_of
from zaffre.advisory.archive.reading import Fetch, read_carriers
from zaffre.advisory.model import Feed, Kind, Severity
from zaffre.definition import DebUpstream
from zaffre.digest import JSON, Sha256, canonical_json
from zaffre.errors import IntegrityError
from zaffre.progress import SILENT, Progress
from zaffre.store import Action, ActionResult, Store
from zaffre.upstream.deb.control import parse_stanza
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.deb.version import version_key

_WORD = re.compile(r"[^A-Za-z0-9.+~:-]")


def archive_feed(
    upstream: DebUpstream,
    indexes: Indexes,
    *,
    architecture: str,
    publisher: str,
    wanted: Collection[str],
    fetch: Fetch,
    store: Store,
    now: dt.datetime,
    max_age: dt.timedelta,
    candidates: bool = False,
    progress: Progress = SILENT,
) -> Feed | None:
    """The feed of indexes that were verified at `now`. `publisher` begins the ids of its records.

    It is made of the packages of one architecture, and speaks of sources, which are those of every architecture. It is
    as old as the oldest of the pockets' Releases.

    Of sources that only a stable update of the release has changed, those in `wanted` are read, what signed forms in it
    are made from, and those that were read before. As a feed of `candidates`, it has those of all sources and nothing
    else, and may be empty; uploads that name no CVE say nothing of another release. Raises FindingError for an archive
    whose changelogs name nothing, and what reading packages raises.
    """
    mine = [one for one in indexes.indexes if one.architecture in {architecture, "all"}]
    release = upstream.suites[0].suite
    sources = sources_of(mine, release)
    before = Kept.find(upstream, store, candidates=candidates)
    choice = sources.known if candidates else sources.updated
    forms = signed_forms(mine)
    chosen = choice & {*with_unsigned(wanted, forms), *(before.chosen if before else ())}
    inputs: dict[str, JSON] = {
        "releases": {f"{one.archive} {one.suite}": one.release_sha256 for one in indexes.suites},
        "indexes": [one.sha256 for one in mine],
        "chosen": sorted(chosen),
        "publisher": publisher,
        "candidates": candidates,
        "maker": maker_of(upstream),
    }
    label = label_of(upstream, candidates=candidates)
    action = Action(
        kind="archive-feed", label=label, inputs=inputs, reason="what the archive mends is in its changelogs"
    )
    if store.lookup(action.key) is None:
        chosen_packages = carriers(mine, chosen if candidates else sources.pockets | chosen, release)
        said = read_carriers(chosen_packages, fetch=fetch, store=store, progress=progress)
        if candidates:
            said = {one: read and tuple(fix for fix in read if fix.cve) for one, read in said.items()}
        made = {
            **_made(upstream, indexes, said, publisher, store),
            "kind": Kind.CANDIDATES if candidates else Kind.ARCHIVE,
            "covers": None if candidates else sorted(sources.known),
            "aliases": [[list(old), list(new)] for old, new in sorted(forms.items())],
            "chosen": sorted(chosen),
            "unread": sorted(choice - chosen),
        }
        store.record(action.key, action, ActionResult({FEED: store.add_bytes(canonical_json(made))}, {}))
    store.remember(label, {"key": action.key, "asked": now.isoformat(), "maker": maker_of(upstream)})
    kept = Kept.find(upstream, store, candidates=candidates)
    if kept is None:
        raise AssertionError
    return kept.feed(max_age)


def _made(
    upstream: DebUpstream,
    indexes: Indexes,
    said: Mapping[Carrier, tuple[Fix, ...] | None],
    publisher: str,
    store: Store,
) -> dict[str, JSON]:
    doubts = sorted(
        f"no package of {one.source} {one.version} ({one.suite}) has a changelog"
        for one, read in said.items()
        if read is None
    )
    records: list[JSON] = [
        [identity, package, fixed, list(cves), summary, Severity.UNKNOWN]
        for identity, package, fixed, cves, summary in _records(said, publisher)
    ]
    return {
        "ecosystem": _ecosystem(upstream, indexes, store),
        "provenance": "signed Releases: "
        + ", ".join(f"{one.suite} of {one.date:%Y-%m-%d %H:%M} UTC" for one in indexes.suites),
        "dated": min(one.date for one in indexes.suites[1:] or indexes.suites).isoformat(),
        "records": records,
        "doubts": list(doubts),
    }


def _records(
    said: Mapping[Carrier, tuple[Fix, ...] | None], publisher: str
) -> Sequence[tuple[str, str, str, tuple[str, ...], str]]:
    """One record a source and CVE, with the highest version that mends it over all pockets; one for each nameless
    upload."""
    highest: dict[tuple[str, str], str] = {}
    nameless: dict[tuple[str, str], tuple[str, ...]] = {}
    for carrier, read in said.items():
        for one in read or ():
            if one.cve is None:
                nameless[carrier.source, one.version] = one.others
                continue
            key = (carrier.source, one.cve)
            if key not in highest or version_key(highest[key]) < version_key(one.version):
                highest[key] = one.version
    rows: list[tuple[str, str, str, tuple[str, ...], str]] = [
        (f"{publisher}-{cve}-{source}", source, version, (cve,), "") for (source, cve), version in highest.items()
    ]
    rows += [
        (
            f"{publisher}-{source}-{_WORD.sub('_', version)}",
            source,
            version,
            (),
            " ".join(["a security upload that names no CVE", *(f"({one})" for one in others)]),
        )
        for (source, version), others in nameless.items()
    ]
    return sorted(rows)


def _ecosystem(upstream: DebUpstream, indexes: Indexes, store: Store) -> str:
    """As the definition says it, else as OSV forms it: the Release's Origin, and its Version up to the first point."""
    if upstream.ecosystem is not None:
        return upstream.ecosystem
    first = next(one for one in indexes.suites if one.suite == upstream.suites[0].suite)
    text = store.path(Sha256(first.release_sha256)).read_bytes()
    try:
        fields = parse_stanza(text.decode("utf-8"))
    except ValueError as error:
        raise IntegrityError("the Release is malformed", where=first.suite, details=str(error)) from error
    origin = fields.get("Origin") or upstream.name
    version = fields.get("Version", "").split(".")[0]
    return f"{origin}:{version or fields.get('Codename', first.suite)}"
