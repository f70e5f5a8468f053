# SPDX-License-Identifier: Apache-2.0
"""What we publish of what we know, in the forms that other people's scanners read. Pure.

OSV as one zip of records; OpenVEX of the owner's statements; Trivy's database (https://github.com/aquasecurity/trivy-db,
schema 2) for Debian's families, which `trivy --skip-db-update` reads from the folder `db` of its cache.
"""

from __future__ import annotations

import datetime as dt
import io
import json
import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from zaffre.advisory.formats.document import rows
from zaffre.advisory.formats.osv import to_osv
from zaffre.advisory.model import Advisory, Feed, Kind, Severity
from zaffre.advisory.versions import order_of
from zaffre.advisory.writing.bolt import bolt_bytes

OSV_NAME = "osv.zip"
OPENVEX_NAME = "openvex.json"
TRIVY_NAME = "trivy/trivy.db"
TRIVY_METADATA_NAME = "trivy/metadata.json"

_OWN = {Kind.ARCHIVE, Kind.UPDATEINFO}
_EPOCH = (1980, 1, 1, 0, 0, 0)
_FRESH = dt.timedelta(days=7)


def own_feeds(feeds: Iterable[Feed]) -> tuple[Feed, ...]:
    """Those that were made from the archives themselves. What others have published is theirs to publish."""
    return tuple(one for one in feeds if one.kind in _OWN)


def records_of(feed: Feed, sources: Collection[str], packages: Collection[str] = ()) -> tuple[Advisory, ...]:
    """Its records about these source packages, by id; those that name binary packages about these `packages` too."""
    mine = (one for one in feed.advisories if one.package in sources or (one.binary and one.package in packages))
    return tuple(sorted(mine, key=lambda one: one.id))


def osv_zip(feeds: Sequence[Feed], sources: Collection[str], packages: Collection[str] = ()) -> bytes:
    """Records of all feeds: one file for each id, of however many packages. Equal feeds give equal bytes.

    `packages` are binary ones, by whose names RPM repositories publish.
    """
    found: dict[str, list[tuple[Feed, Advisory]]] = {}
    for feed in feeds:
        for one in records_of(feed, sources, packages):
            found.setdefault(one.id, []).append((feed, one))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for identity, records in sorted(found.items()):
            info = zipfile.ZipInfo(f"{identity}.json", _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, json.dumps(_together(records), ensure_ascii=False))
    return out.getvalue()


def _together(records: Sequence[tuple[Feed, Advisory]]) -> Mapping[str, object]:
    """Records of one id as one: each package with its ranges under `affected`."""
    modified = max(feed.dated for feed, _ in records)
    cves = tuple(sorted({name for _, one in records for name in one.cves}))
    summary = min((one.summary for _, one in records if one.summary), default="")
    parts = [
        to_osv(replace(one, cves=cves, summary=summary), ecosystem=feed.ecosystem, modified=modified)
        for feed, one in records
    ]
    affected = {json.dumps(entry): entry for value in parts for entry in rows(value["affected"])}
    return {**parts[0], "affected": [entry for _, entry in sorted(affected.items())]}


def trivy_files(feeds: Sequence[Feed], sources: Collection[str], at: dt.datetime) -> dict[str, bytes]:
    """The database and its metadata; nothing where no feed is of a distribution that Trivy knows as Debian's.

    Of several records about one vulnerability in one source, the highest fix counts, and none at all before any. Raises
    ValueError for a fix that is no version.
    """
    fixes: dict[str, dict[str, dict[str, str]]] = {}
    severities: dict[str, Severity] = {}
    order = order_of("deb")
    for feed in feeds:
        name, colon, release = feed.ecosystem.partition(":")
        if feed.family != "deb" or not colon:
            continue
        packages = fixes.setdefault(f"{name.lower()} {release}", {})
        for one in records_of(feed, sources):
            known = packages.setdefault(one.package, {})
            fix = max((ranged.fixed for ranged in one.ranges if ranged.fixed is not None), key=order, default="")
            for vulnerability in one.names:
                before = known.get(vulnerability, fix)
                known[vulnerability] = max(before, fix, key=order) if before and fix else ""
                severities.setdefault(vulnerability, one.severity)
    if not fixes:
        return {}
    systems = {
        system: {
            package: {name: _json({"FixedVersion": fix}) for name, fix in known.items()}
            for package, known in packages.items()
        }
        for system, packages in fixes.items()
    }
    details = {name: _json({"Severity": str(one).upper()}) for name, one in severities.items()}
    source = {
        system: _json({"ID": system.partition(" ")[0], "Name": "changelogs of the archive", "URL": ""})
        for system in systems
    }
    stamp = at.astimezone(dt.UTC)
    times = {"NextUpdate": stamp + _FRESH, "UpdatedAt": stamp, "DownloadedAt": stamp}
    metadata = {"Version": 2, **{key: f"{when:%Y-%m-%dT%H:%M:%SZ}" for key, when in times.items()}}
    return {
        TRIVY_NAME: bolt_bytes({"data-source": source, "vulnerability": details, **systems}),
        TRIVY_METADATA_NAME: _json(metadata),
    }


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value).encode()
