# SPDX-License-Identifier: Apache-2.0
"""OpenVEX documents (https://github.com/openvex/spec, 0.2.0): what somebody else says of vulnerabilities."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping

from zaffre.advisory.formats.document import Document, is_table, rows, text
from zaffre.advisory.formats.purl import Named, named
from zaffre.advisory.statements import Claim, Claims
from zaffre.definition import Justification

_STATUSES = {"not_affected", "affected", "fixed", "under_investigation"}


def read_openvex(document: Document, *, now: dt.datetime) -> Claims:
    """Raises DefinitionError for what is malformed or contradicts itself, FindingError for what speaks of no package.

    A statement with a time to come does not hold yet, and is an error.
    """
    value = document.json()
    if not is_table(value) or "openvex" not in str(value.get("@context", "")):
        raise document.malformed("it has no @context of OpenVEX")
    author = text(value, "author")
    if not author:
        raise document.malformed("it has no author, so nobody answers for it")
    dated = document.time(value.get("last_updated") or value.get("timestamp"), "timestamp")
    found: dict[tuple[str, str, str, str | None], Claim] = {}
    for number, statement in enumerate(rows(value.get("statements"))):
        record = f"statements[{number}]"
        if (stated := statement.get("timestamp")) is not None and document.time(stated, record) > now:
            raise document.malformed("it is dated in the future", record=record)
        for claim in _claims(document, statement, record):
            key = (claim.vulnerability, claim.vendor, claim.package, claim.version)
            before = found.get(key)
            # A later statement takes the place of an earlier one (spec, "Chaining"), unless both are of one time.
            if before is not None and before.status != claim.status and stated is None:
                said = f"{claim.package} is {before.status} and {claim.status} at once"
                raise document.contradictory(said, record=f"{record}: {claim.vulnerability}")
            found[key] = claim
    if not found:
        raise document.empty("statement about a Debian or RPM package")
    return Claims(f"OpenVEX {document.name}", author, dated, document.max_age, tuple(found.values()))


def _claims(document: Document, statement: Mapping[str, object], record: str) -> Iterator[Claim]:
    status = text(statement, "status")
    if status not in _STATUSES:
        raise document.malformed(f"{status[:80]!r} is no status", record=record)
    vulnerability = statement.get("vulnerability")
    name = text(vulnerability, "name") if is_table(vulnerability) else str(vulnerability or "")
    if not name:
        raise document.malformed("it names no vulnerability", record=record)
    justification = text(statement, "justification") or None
    reason = text(statement, "impact_statement") or text(statement, "status_notes")
    if status == "not_affected" and justification is None and not reason:
        raise document.malformed("it is not affected, and does not say why", record=record)
    if justification is not None and justification not in set(Justification):
        raise document.malformed(f"{justification[:80]!r} is no justification", record=record)
    for product in rows(statement.get("products")):
        parts = [product, *rows(product.get("subcomponents"))]
        # With subcomponents, those are what is spoken of, and the product is where they are.
        for part in parts[1:] or parts:
            if (package := _package(part)) is not None:
                yield Claim(name, package.name, package.version, package.vendor, status, justification, reason)


def _package(product: Mapping[str, object]) -> Named | None:
    identifiers = product.get("identifiers")
    purls = [text(product, "@id"), text(identifiers, "purl") if is_table(identifiers) else ""]
    return next((found for purl in purls if (found := named(purl)) is not None), None)
