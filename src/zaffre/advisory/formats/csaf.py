# SPDX-License-Identifier: Apache-2.0
"""CSAF 2.0 advisories and VEX (https://docs.oasis-open.org/csaf/csaf/v2.0/): what a product's maker says of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from zaffre.advisory.formats.document import Document, is_table, rows, text, texts
from zaffre.advisory.formats.purl import Named, named
from zaffre.advisory.statements import Claim, Claims
from zaffre.definition import Justification

_STATUSES = {
    "known_not_affected": "not_affected",
    "known_affected": "affected",
    "first_affected": "affected",
    "last_affected": "affected",
    "fixed": "fixed",
    "first_fixed": "fixed",
    "under_investigation": "under_investigation",
}
_STOOD_BY = {"final", "interim"}
_DEEPEST = 50


@dataclass(frozen=True)
class _Tree:
    """Packages by product id, each with the name of the product that it is a part of; product ids by group id."""

    packages: Mapping[str, tuple[Named, str | None]]
    groups: Mapping[str, tuple[str, ...]]

    def covers(self, table: Mapping[str, object], product: str) -> bool:
        """Whether a flag or threat is about that product."""
        grouped = (one for group in texts(table.get("group_ids")) for one in self.groups.get(group, ()))
        return product in texts(table.get("product_ids")) or product in grouped


def read_csaf(document: Document) -> Claims:
    """Raises DefinitionError for what is malformed or contradicts itself, FindingError where no package is named."""
    value = document.json()
    head = value.get("document") if is_table(value) else None
    if not is_table(value) or not is_table(head) or "csaf_version" not in head:
        raise document.malformed("it has no document.csaf_version")
    tracking, publisher = head.get("tracking"), head.get("publisher")
    if not is_table(tracking) or not is_table(publisher) or not text(publisher, "name"):
        raise document.malformed("it does not say who published it, or when")
    if (status := text(tracking, "status")) not in _STOOD_BY:
        raise document.malformed(
            f"its status is {status[:80]!r}, and what is neither final nor interim is not believed"
        )
    tree = _tree(document, value.get("product_tree"))
    listed = document.tables(value.get("vulnerabilities"), "vulnerabilities")
    claims = [claim for one in listed for claim in _claims(document, one, tree)]
    if not claims:
        raise document.empty("statement about a Debian or RPM package")
    dated = document.time(tracking.get("current_release_date"), "document.tracking.current_release_date")
    return Claims(f"CSAF {document.name}", text(publisher, "name"), dated, document.max_age, tuple(claims))


def _tree(document: Document, tree: object) -> _Tree:
    """What is a package within a product has a product id of its own (`relationships`), and comes with that product's
    name.
    """
    if not is_table(tree):
        return _Tree({}, {})
    defined: dict[str, tuple[Named | None, str]] = {}
    packages: dict[str, tuple[Named, str | None]] = {}
    for product in _listed(document, tree, 0):
        helper = product.get("product_identification_helper")
        package = named(text(helper, "purl")) if is_table(helper) else None
        identity = _define(document, defined, product, (package, text(product, "name")))
        if package is not None:
            packages[identity] = package, None
    for relation in document.tables(tree.get("relationships"), "product_tree.relationships"):
        whole = relation.get("full_product_name")
        if not is_table(whole):
            continue
        part = packages.get(text(relation, "product_reference"))
        within = text(relation, "relates_to_product_reference")
        words = defined[within][1] if within in defined else within
        identity = _define(document, defined, whole, (part[0] if part else None, words))
        if part is not None:
            packages[identity] = part[0], words
    groups = document.tables(tree.get("product_groups"), "product_tree.product_groups")
    return _Tree(packages, {text(one, "group_id"): texts(one.get("product_ids")) for one in groups})


def _define(
    document: Document,
    defined: dict[str, tuple[Named | None, str]],
    product: Mapping[str, object],
    meant: tuple[Named | None, str],
) -> str:
    identity = text(product, "product_id")
    if not identity:
        raise document.malformed("a product has no product_id")
    if defined.setdefault(identity, meant) != meant:
        raise document.contradictory("the product is defined twice, as two different ones", record=identity)
    return identity


def _listed(document: Document, tree: Mapping[str, object], depth: int) -> Iterator[Mapping[str, object]]:
    if depth > _DEEPEST:
        raise document.malformed(f"its product tree is deeper than {_DEEPEST}")
    yield from document.tables(tree.get("full_product_names"), "product_tree.full_product_names")
    for branch in document.tables(tree.get("branches"), "branches of the product tree"):
        product = branch.get("product")
        if is_table(product):
            yield product
        yield from _listed(document, branch, depth + 1)


def _claims(document: Document, vulnerability: Mapping[str, object], tree: _Tree) -> Iterator[Claim]:
    name = text(vulnerability, "cve") or next((text(one, "text") for one in rows(vulnerability.get("ids"))), "")
    if not name:
        raise document.malformed("a vulnerability has neither a cve nor ids")
    statuses = vulnerability.get("product_status", {})
    if not is_table(statuses):
        raise document.malformed("product_status is no table", record=name)
    said: dict[str, str] = {}
    for key, status in _STATUSES.items():
        for product in document.strings(statuses.get(key), f"product_status.{key}", record=name):
            if said.setdefault(product, status) != status:
                raise document.contradictory(f"{product} is {said[product]} and {status} at once", record=name)
    for product, status in said.items():
        if product in tree.packages:
            one, whole = tree.packages[product]
            why, words = _flag(vulnerability, product, tree), _threat(vulnerability, product, tree)
            if status == "not_affected" and why is None and not words:
                raise document.malformed(f"{product} is not affected, and it does not say why", record=name)
            told = (one.name, one.version, one.vendor, status, why, words, whole)
            yield Claim(name, *told, architecture=one.architecture, distro=one.distro)


def _flag(vulnerability: Mapping[str, object], product: str, tree: _Tree) -> str | None:
    labels = [text(one, "label") for one in rows(vulnerability.get("flags")) if tree.covers(one, product)]
    return next((one for one in labels if one in set(Justification)), None)


def _threat(vulnerability: Mapping[str, object], product: str, tree: _Tree) -> str:
    """The impact in words (profile VEX requires it, or a flag, of what is not affected)."""
    threats = [one for one in rows(vulnerability.get("threats")) if one.get("category") == "impact"]
    return next((text(one, "details") for one in threats if tree.covers(one, product)), "")
