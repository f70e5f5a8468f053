# SPDX-License-Identifier: Apache-2.0
"""CSAF 2.0 advisories and VEX (https://docs.oasis-open.org/csaf/csaf/v2.0/): what a product's maker says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from zaffre.advisory.formats.document import Document, is_table, rows, text, texts
from zaffre.advisory.formats.purl import Named, named
from zaffre.advisory.statements import Claim, Claims
from zaffre.definition import Justification

_STATUSES = {
    "known_not_affected": "not_affected",
    "known_affected": "affected",
    "fixed": "fixed",
    "first_fixed": "fixed",
    "under_investigation": "under_investigation",
}
_DEEPEST = 50


def read_csaf(document: Document) -> Claims:
    """Raises DefinitionError for what is malformed or contradicts itself, FindingError where no package is named."""
    value = document.json()
    head = value.get("document") if is_table(value) else None
    if not is_table(value) or not is_table(head) or "csaf_version" not in head:
        raise document.malformed("it has no document.csaf_version")
    tracking, publisher = head.get("tracking"), head.get("publisher")
    if not is_table(tracking) or not is_table(publisher) or not text(publisher, "name"):
        raise document.malformed("it does not say who published it, or when")
    products = _products(document, value.get("product_tree"))
    claims = [claim for one in rows(value.get("vulnerabilities")) for claim in _claims(document, one, products)]
    if not claims:
        raise document.empty("statement about a Debian or RPM package")
    dated = document.time(tracking.get("current_release_date"), "document.tracking.current_release_date")
    return Claims(f"CSAF {document.name}", text(publisher, "name"), dated, document.max_age, tuple(claims))


def _products(document: Document, tree: object) -> dict[str, tuple[Named, str | None]]:
    """Packages by product id. What is a package within a product has a product id of its own (`relationships`), and
    comes with that product's name.
    """
    if not is_table(tree):
        return {}
    found: dict[str, tuple[Named, str | None]] = {}
    names: dict[str, str] = {}
    for product in _listed(document, tree, 0):
        names[text(product, "product_id")] = text(product, "name")
        helper = product.get("product_identification_helper")
        package = named(text(helper, "purl")) if is_table(helper) else None
        if package is not None:
            found[text(product, "product_id")] = package, None
    for relation in rows(tree.get("relationships")):
        whole = relation.get("full_product_name")
        part = text(relation, "product_reference")
        if is_table(whole) and part in found:
            within = text(relation, "relates_to_product_reference")
            found[text(whole, "product_id")] = found[part][0], names.get(within, within)
    return found


def _listed(document: Document, tree: Mapping[str, object], depth: int) -> Iterator[Mapping[str, object]]:
    if depth > _DEEPEST:
        raise document.malformed(f"its product tree is deeper than {_DEEPEST}")
    yield from rows(tree.get("full_product_names"))
    for branch in rows(tree.get("branches")):
        product = branch.get("product")
        if is_table(product):
            yield product
        yield from _listed(document, branch, depth + 1)


def _claims(
    document: Document, vulnerability: Mapping[str, object], products: Mapping[str, tuple[Named, str | None]]
) -> Iterator[Claim]:
    name = text(vulnerability, "cve") or next((text(one, "text") for one in rows(vulnerability.get("ids"))), "")
    if not name:
        raise document.malformed("a vulnerability has neither a cve nor ids")
    statuses = vulnerability.get("product_status")
    said: dict[str, str] = {}
    for key, status in _STATUSES.items():
        for product in texts(statuses.get(key)) if is_table(statuses) else ():
            if said.setdefault(product, status) != status:
                raise document.contradictory(f"{product} is {said[product]} and {status} at once", record=name)
    for product, status in said.items():
        if product in products:
            one, whole = products[product]
            why, words = _flag(vulnerability, product), _threat(vulnerability, product)
            yield Claim(name, one.name, one.version, one.vendor, status, why, words, whole)


def _flag(vulnerability: Mapping[str, object], product: str) -> str | None:
    labels = [
        text(one, "label") for one in rows(vulnerability.get("flags")) if product in texts(one.get("product_ids"))
    ]
    return next((one for one in labels if one in set(Justification)), None)


def _threat(vulnerability: Mapping[str, object], product: str) -> str:
    """The impact in words (profile VEX requires it, or a flag, of what is not affected)."""
    threats = [one for one in rows(vulnerability.get("threats")) if one.get("category") == "impact"]
    return next((text(one, "details") for one in threats if product in texts(one.get("product_ids"))), "")
