# SPDX-License-Identifier: Apache-2.0
"""OpenVEX documents (https://github.com/openvex/spec, 0.2.0): what somebody else says of vulnerabilities."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from zaffre.advisory.formats.document import Document, is_table, text
from zaffre.advisory.formats.purl import Named, kind_of, named
from zaffre.advisory.statements import Claim, Claims
from zaffre.definition import Justification

_STATUSES = {"not_affected", "affected", "fixed", "under_investigation"}


def read_openvex(document: Document, *, now: dt.datetime) -> Claims:
    """Raises DefinitionError for what is malformed or contradicts itself, FindingError for what speaks of no package.

    Of statements about one thing the newest holds, wherever it stands: one without a time of its own is of the
    document's. A statement with a time to come does not hold yet, and is an error.
    """
    value = document.json()
    if not is_table(value) or "openvex" not in str(value.get("@context", "")):
        raise document.malformed("it has no @context of OpenVEX")
    author = text(value, "author")
    if not author:
        raise document.malformed("it has no author, so nobody answers for it")
    issued = document.time(value.get("timestamp"), "timestamp")
    updated = value.get("last_updated")
    dated = document.time(updated, "last_updated") if updated is not None else issued
    said: list[tuple[dt.datetime, str, Claim]] = []
    for number, statement in enumerate(document.tables(value.get("statements"), "statements")):
        record = f"statements[{number}]"
        stated = statement.get("timestamp")
        when = document.time(stated, f"{record}: timestamp") if stated is not None else issued
        if stated is not None and when > now:
            raise document.malformed("it is dated in the future", record=record)
        said += [(when, record, claim) for claim in _claims(document, statement, record)]
    if not said:
        raise document.empty("statement about a Debian or RPM package")
    return Claims(f"OpenVEX {document.name}", author, dated, document.max_age, _newest(document, said))


def _newest(document: Document, said: Iterable[tuple[dt.datetime, str, Claim]]) -> tuple[Claim, ...]:
    """Raises DefinitionError for statements of one time that say different things of one package."""
    found: dict[Claim, tuple[dt.datetime, Claim]] = {}
    for when, record, claim in sorted(said, key=lambda one: one[0]):
        key = replace(claim, status="", justification=None, reason="")
        before = found.get(key)
        if before is not None and before[0] == when and before[1].status != claim.status:
            both = f"{claim.package} is {before[1].status} and {claim.status} at once"
            raise document.contradictory(both, record=f"{record}: {claim.vulnerability}")
        found[key] = when, claim
    return tuple(claim for _, claim in found.values())


def _claims(document: Document, statement: Mapping[str, object], record: str) -> Iterator[Claim]:
    status = text(statement, "status")
    if status not in _STATUSES:
        raise document.malformed(f"{status[:80]!r} is no status", record=record)
    vulnerability = statement.get("vulnerability")
    name = text(vulnerability, "name") if is_table(vulnerability) else text(statement, "vulnerability")
    if not name:
        raise document.malformed("it names no vulnerability", record=record)
    justification = text(statement, "justification") or None
    reason = text(statement, "impact_statement") or text(statement, "status_notes")
    if status == "not_affected" and justification is None and not reason:
        raise document.malformed("it is not affected, and does not say why", record=record)
    if justification is not None and justification not in set(Justification):
        raise document.malformed(f"{justification[:80]!r} is no justification", record=record)
    for product in document.tables(statement.get("products"), "products", record=record):
        # With subcomponents, those are what is spoken of, and the product is where they are.
        parts = document.tables(product.get("subcomponents"), "subcomponents", record=record)
        whole = _product(product) if parts else None
        for part in parts or [product]:
            if (package := _package(part)) is not None:
                said = (package.name, package.version, package.vendor, status, justification, reason, whole)
                yield Claim(name, *said, architecture=package.architecture, distro=package.distro)


def _package(product: Mapping[str, object]) -> Named | None:
    return next((found for purl in _purls(product) if (found := named(purl)) is not None), None)


def _product(product: Mapping[str, object]) -> str:
    """An image's name, of the purl of an image; else the document's own word."""
    for purl in _purls(product):
        if kind_of(purl) == "oci":
            return re.split("[@?#]", purl, maxsplit=1)[0].rpartition("/")[2]
    return text(product, "@id")


def _purls(product: Mapping[str, object]) -> list[str]:
    identifiers = product.get("identifiers")
    return [text(product, "@id"), text(identifiers, "purl") if is_table(identifiers) else ""]
