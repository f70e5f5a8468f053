# SPDX-License-Identifier: Apache-2.0
"""OSV records (https://ossf.github.io/osv-schema/ 1.7): one, a list of them, or a zip of a file for each.

Records of an ecosystem without packages of ours (PyPI, Go) are passed over. Each ecosystem gives a feed of its own, as
a version means something in one only.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import lzma
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence

from zaffre.advisory.formats.document import CVE, Document, is_table, rows, text, texts
from zaffre.advisory.model import Advisory, Feed, Kind, Range, Severity
from zaffre.advisory.versions import Order, order_of

_FAMILIES = {
    **dict.fromkeys(("Debian", "Ubuntu"), "deb"),
    **dict.fromkeys(
        ("AlmaLinux", "Azure Linux", "Fedora", "Mageia", "openEuler", "openSUSE", "Red Hat", "Rocky Linux", "SUSE"),
        "rpm",
    ),
}
_EVENTS = {"introduced", "fixed", "last_affected", "limit"}
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, NotImplementedError, RuntimeError)
"""What Python's zipfile raises for what can't be unpacked; OSError is bzip2's."""
_MOST_RECORDS = 1_000_000
_MOST_RECORD_BYTES = 4 << 20
_MOST_BYTES = 1 << 30
_MOST_VERSIONS = 5_000_000
"""Ranges and versions of all records together: what is kept of them takes some hundred bytes each."""


def read_osv(document: Document) -> Iterator[Feed]:
    """Raises DefinitionError for what is malformed or contradicts itself, FindingError when nothing of it is of a
    distribution.
    """
    found: dict[str, list[Advisory]] = {}
    seen: dict[str, bytes] = {}
    versions = 0
    dated: dt.datetime | None = None
    for record in _records(document):
        identity = text(record, "id")
        if not identity:
            raise document.malformed("a record has no id")
        digest = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).digest()
        if identity in seen:
            if seen[identity] != digest:
                raise document.contradictory("there are two records of that id, which differ", record=identity)
            continue
        seen[identity] = digest
        modified = document.time(record.get("modified"), f"{identity}: modified")
        dated = modified if dated is None else max(dated, modified)
        if record.get("withdrawn"):
            continue
        for ecosystem, one in _of_record(document, record):
            found.setdefault(ecosystem, []).append(one)
            versions += len(one.ranges) + len(one.versions)
            if versions > _MOST_VERSIONS:
                raise document.malformed(f"it has more than {_MOST_VERSIONS} ranges and versions", record=identity)
    if dated is None or not found:
        raise document.empty("record about packages of a distribution")
    for ecosystem, advisories in sorted(found.items()):
        yield Feed(
            name=f"OSV {document.name}" if len(found) == 1 else f"OSV {document.name} ({ecosystem})",
            kind=Kind.OSV,
            ecosystem=ecosystem,
            family=_FAMILIES[ecosystem.partition(":")[0]],
            provenance=document.name,
            dated=dated,
            max_age=document.max_age,
            advisories=tuple(advisories),
        )


def to_osv(one: Advisory, *, ecosystem: str, modified: dt.datetime) -> dict[str, object]:
    """A record of ours as OSV writes it."""
    return {
        "schema_version": "1.7.0",
        "id": one.id,
        "modified": f"{modified.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}",
        **({"upstream": list(one.cves)} if one.cves else {}),
        **({"summary": one.summary} if one.summary else {}),
        "affected": [
            {
                "package": {"ecosystem": ecosystem, "name": one.package},
                "ranges": [{"type": "ECOSYSTEM", "events": _events(ranged)} for ranged in one.ranges],
            }
        ],
    }


def _events(ranged: Range) -> list[dict[str, str]]:
    events = [{"introduced": ranged.introduced or "0"}]
    if ranged.fixed is not None:
        events.append({"fixed": ranged.fixed})
    if ranged.last is not None:
        events.append({"last_affected": ranged.last})
    return events


def _records(document: Document) -> Iterator[Mapping[str, object]]:
    if document.data.startswith(b"PK"):
        yield from _unzipped(document)
        return
    value = document.json()
    if is_table(value):
        if value.get("next_page_token"):
            raise document.malformed("it is one page of several: next_page_token leads to the next")
        value = value.get("vulns", [value])
    if not isinstance(value, list) or len(rows(value)) != len(value):
        raise document.malformed("it is neither a record, nor a list of records")
    yield from rows(value)


def _unzipped(document: Document) -> Iterator[Mapping[str, object]]:
    total = 0
    try:
        with zipfile.ZipFile(io.BytesIO(document.data)) as archive:
            members = [one for one in archive.infolist() if one.filename.endswith(".json")]
            if len(members) > _MOST_RECORDS:
                raise document.malformed(f"it has more than {_MOST_RECORDS} records")
            for member in members:
                with archive.open(member) as file:
                    data = file.read(_MOST_RECORD_BYTES + 1)
                total += len(data)
                if len(data) > _MOST_RECORD_BYTES or total > _MOST_BYTES:
                    raise document.malformed("it unpacks to more than a feed can be", record=member.filename)
                value: object = json.loads(data)
                if not is_table(value):
                    raise document.malformed("it is not a record", record=member.filename)
                yield value
    except _DAMAGED as error:
        raise document.malformed(f"it is not a zip that can be read: {error}") from error
    except (ValueError, RecursionError) as error:
        raise document.malformed(f"a record of it is not JSON: {error}") from error


def _of_record(document: Document, record: Mapping[str, object]) -> Iterator[tuple[str, Advisory]]:
    """What it says of packages of distributions, each with its ecosystem."""
    listed = record.get("affected", [])
    if not isinstance(listed, list) or len(rows(listed)) != len(listed):
        raise document.malformed("what is affected is no list of packages", record=text(record, "id"))
    for affected in rows(listed):
        package = affected.get("package")
        # Ubuntu's releases with long support have a word more in OSV, which they do not say of themselves.
        ecosystem = text(package, "ecosystem").removesuffix(":LTS") if is_table(package) else ""
        family = _FAMILIES.get(ecosystem.partition(":")[0])
        if is_table(package) and family is not None:
            yield ecosystem, _advisory(document, record, affected, text(package, "name"), family)


def _advisory(
    document: Document, record: Mapping[str, object], affected: Mapping[str, object], package: str, family: str
) -> Advisory:
    identity = text(record, "id")
    if not package:
        raise document.malformed("it names no package", record=identity)
    names = (identity, *texts(record.get("aliases")), *texts(record.get("upstream")))
    tables = document.tables(affected.get("ranges"), "ranges", record=identity)
    kinds = {str(table.get("type")) for table in tables} - {"ECOSYSTEM", "GIT"}
    if kinds:
        said = f"a range of {package} is of the type {min(kinds)[:80]!r}, by which no package can be judged"
        raise document.malformed(said, record=identity)
    ranges = tuple(
        ranged
        for table in tables
        # Commits stand beside versions, and are none.
        if table.get("type") == "ECOSYSTEM"
        for ranged in _ranges(document, identity, table, order_of(family))
    )
    versions = frozenset(document.strings(affected.get("versions"), "versions", record=identity))
    if not ranges and not versions:
        raise document.malformed(f"it does not say which versions of {package} are vulnerable", record=identity)
    return Advisory(
        id=identity,
        package=package,
        ranges=ranges,
        cves=tuple(dict.fromkeys(one for one in names if CVE.fullmatch(one))),
        versions=versions,
        severity=_severity(record, affected),
        summary=text(record, "summary"),
        # Publishers of RPM distributions name binary packages or sources: either is looked for.
        binary=family == "rpm",
    )


def _ranges(document: Document, identity: str, table: Mapping[str, object], order: Order) -> Iterator[Range]:
    """Of events in the order of versions: `introduced` begins a range, `fixed` or `last_affected` ends it."""
    listed = document.tables(table.get("events"), "events", record=identity)
    events = [(key, value) for event in listed for key, value in event.items()]
    known = [(key, value) for key, value in events if isinstance(value, str) and key in _EVENTS]
    if len(known) < len(events):
        raise document.malformed("an event of it is unknown, or has something else for a version", record=identity)
    if {"fixed", "last_affected"} <= {key for key, _ in known}:
        raise document.contradictory("a range of it has both `fixed` and `last_affected`", record=identity)
    try:
        begun = sorted((value for key, value in known if key == "introduced"), key=lambda one: _place(one, order))
        ends = sorted(
            ((value, key) for key, value in known if key in {"fixed", "last_affected"}), key=lambda one: order(one[0])
        )
    except ValueError as error:
        raise document.malformed(str(error), record=identity) from error
    if not begun:
        raise document.malformed("a range of it does not say where it begins", record=identity)
    for number, start in enumerate(begun):
        after = begun[number + 1] if number + 1 < len(begun) else None
        mine = [
            (value, key)
            for value, key in ends
            if _reaches(value, key, start, order) and (after is None or order(value) <= order(after))
        ]
        if ends and not mine and after is None and number == 0:
            raise document.contradictory(f"it ends before it begins ({start})", record=identity)
        end, key = mine[0] if mine else (None, "")
        yield Range(
            introduced=None if start == "0" else start,
            fixed=end if key == "fixed" else None,
            last=end if key == "last_affected" else None,
        )


def _place(version: str, order: Order) -> tuple[bool, object]:
    return (False, ()) if version == "0" else (True, order(version))


def _reaches(end: str, key: str, start: str, order: Order) -> bool:
    if start == "0":
        return True
    return bool(order(end) > order(start) or (key == "last_affected" and order(end) == order(start)))


def _severity(record: Mapping[str, object], affected: Mapping[str, object]) -> Severity:
    """The publisher's word, else what the CVSS vector comes to."""
    for holder in (affected, record):
        for key in ("database_specific", "ecosystem_specific"):
            table = holder.get(key)
            if is_table(table) and (word := Severity.of(text(table, "severity"))) is not Severity.UNKNOWN:
                return word
    return rating([text(one, "score") for one in (*rows(affected.get("severity")), *rows(record.get("severity")))])


def rating(vectors: Sequence[str]) -> Severity:
    """The worst that CVSS vectors come to; unknown for what is none."""
    if not vectors:
        return Severity.UNKNOWN
    from cvss import CVSS2, CVSS3, CVSS4  # noqa: PLC0415 - loaded where a vector is met
    from cvss.exceptions import CVSSError  # noqa: PLC0415 - likewise

    found = [Severity.UNKNOWN]
    for vector in vectors:
        kind = CVSS4 if vector.startswith("CVSS:4") else CVSS3 if vector.startswith("CVSS:3") else CVSS2
        try:
            found.append(Severity.of(kind(vector).severities()[0]))
        except CVSSError:
            continue
    return min(found, key=lambda one: one.rank)
