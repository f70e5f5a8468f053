# SPDX-License-Identifier: Apache-2.0
"""OVAL definitions of vulnerabilities, as Azure Linux publishes them.

Format: https://oval-community-guidelines.readthedocs.io/en/latest/ (OVAL 5.11).

A definition names tests, a test names a package and a state, and the state says which versions are vulnerable. What a
state says of anything but a version (who signed the package) does not make it less vulnerable. A definition whose
states say nothing that is understood is an error, never silence; so is whatever turns a test into its opposite.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from zaffre.advisory.formats.document import CVE, Document, plain
from zaffre.advisory.model import Advisory, Feed, Kind, Range, Severity
from zaffre.advisory.subject import is_release
from zaffre.advisory.versions import Order, order_of
from zaffre.upstream.rpm.xml import Element, elements

_FAMILIES = {"rpminfo": "rpm", "dpkginfo": "deb"}
_CLASSES = {"vulnerability", "patch"}
_UNDERSTOOD = {
    "negate": {"false", "0"},
    "check": {"all", "at least one"},
    "check_existence": {"all_exist", "at_least_one_exists", "any_exist"},
}
"""Attributes that say how a result counts, and those of their values by which a lower version is vulnerable."""


@dataclass
class _Parts:
    """Elements by id. `families` are those of the tests."""

    definitions: dict[str, Element] = field(default_factory=dict)
    tests: dict[str, Element] = field(default_factory=dict)
    objects: dict[str, Element] = field(default_factory=dict)
    states: dict[str, Element] = field(default_factory=dict)
    families: set[str] = field(default_factory=set)
    timestamp: str = ""


def read_oval(document: Document) -> Feed:
    """Raises DefinitionError for what is malformed, hostile or not understood, FindingError for what is empty."""
    parts = _parts(document)
    if not parts.definitions:
        raise document.empty("definitions of vulnerabilities")
    if len(parts.families) != 1:
        raise document.malformed(
            f"its tests are of {' and '.join(sorted(parts.families)) or 'no'} packages, not of one family"
        )
    (family,) = parts.families
    order = order_of(family)
    platforms: set[str] = set()
    records: list[Advisory] = []
    for identity, definition in parts.definitions.items():
        metadata = definition.first("metadata") or Element("metadata", {})
        affected = metadata.first("affected")
        platforms |= {plain(one.text.strip()) for one in (affected.all("platform") if affected else ())}
        # Azure Linux's word for one that never applied.
        if metadata.said("patchable") != "Not Applicable":
            records += _records(identity, definition, parts, document, order)
    if not records:
        raise document.empty("vulnerability that applies")
    ecosystem = document.platform.ecosystem if document.platform else None
    return Feed(
        name=f"OVAL {document.name}",
        kind=Kind.OVAL,
        ecosystem=_ecosystem(platforms, ecosystem, document),
        family=family,
        provenance=f"OVAL of {', '.join(sorted(platforms)) or 'no named platform'}",
        dated=document.time(parts.timestamp, "timestamp"),
        max_age=document.max_age,
        advisories=tuple(records),
    )


def _ecosystem(platforms: set[str], asked: str | None, document: Document) -> str:
    """The one that is asked for, if the document is of that release of it; else the document's own word."""
    if len(platforms) != 1:
        raise document.malformed(f"it is of {len(platforms)} platforms, and a feed is of one")
    (platform,) = platforms
    return asked if asked is not None and is_release(platform, asked) else platform


def _parts(document: Document) -> _Parts:
    parts = _Parts()
    try:
        for one in elements(document.data, depth=2):
            _sort(one, parts, document)
    except ValueError as error:
        raise document.malformed(str(error)) from error
    return parts


def _sort(one: Element, parts: _Parts, document: Document) -> None:
    identity = one.attributes.get("id", "")
    prefix, _, kind = one.name.partition("_")
    if one.name == "timestamp":
        parts.timestamp = one.text.strip()
    elif one.name == "definition" and one.attributes.get("class") in _CLASSES:
        _define(identity, one, parts.definitions, document)
    elif kind == "test":
        _define(identity, one, parts.tests, document)
        if prefix in _FAMILIES:
            parts.families.add(_FAMILIES[prefix])
    elif kind == "object":
        _define(identity, one, parts.objects, document)
    elif kind == "state":
        _define(identity, one, parts.states, document)


def _define(identity: str, one: Element, table: dict[str, Element], document: Document) -> None:
    if identity in table:
        raise document.contradictory("it is defined twice", record=identity)
    table[identity] = one


def _records(identity: str, definition: Element, parts: _Parts, document: Document, order: Order) -> Iterator[Advisory]:
    metadata = definition.first("metadata") or Element("metadata", {})
    cves = tuple(
        dict.fromkeys(
            reference.attributes.get("ref_id", "")
            for reference in metadata.all("reference")
            if CVE.fullmatch(reference.attributes.get("ref_id", ""))
        )
    )
    severity = Severity.of(metadata.said("severity") or "")
    found = False
    for criterion in _criteria(definition, document, identity):
        ranged = _vulnerable(criterion.attributes.get("test_ref", ""), parts, document, identity, order)
        if ranged is None:
            continue
        found = True
        yield Advisory(
            id=plain(identity),
            package=plain(ranged[0]),
            ranges=(ranged[1],),
            cves=cves,
            severity=severity,
            summary=plain(metadata.said("title") or ""),
            binary=True,
        )
    if not found:
        raise document.malformed("none of its tests says which versions are vulnerable", record=identity)


def _criteria(element: Element, document: Document, identity: str) -> Iterator[Element]:
    for child in element.children:
        if child.name in {"criterion", "criteria"}:
            _require_understood(child, document, identity)
        if child.name == "criterion":
            yield child
        elif child.name == "criteria":
            yield from _criteria(child, document, identity)


def _require_understood(element: Element, document: Document, identity: str) -> None:
    for key, values in _UNDERSTOOD.items():
        if (value := element.attributes.get(key)) is not None and value not in values:
            raise document.malformed(
                f"{element.name} has {key}={value[:80]!r}, which is not understood", record=identity
            )


def _vulnerable(
    reference: str, parts: _Parts, document: Document, identity: str, order: Order
) -> tuple[str, Range] | None:
    """Package and versions of a test; None for one that is not about versions."""
    test = _found(reference, parts.tests, document, identity)
    _require_understood(test, document, identity)
    holder, state = test.first("object"), test.first("state")
    if holder is None or state is None:
        return None
    named = _found(holder.attributes.get("object_ref", ""), parts.objects, document, identity)
    evr = _found(state.attributes.get("state_ref", ""), parts.states, document, identity).first("evr")
    package = named.said("name")
    if evr is None or not package:
        return None
    # Azure Linux lists a version for each branch that it has mended: only from the highest on, all are.
    versions = [one.strip().removeprefix("0:").lstrip() for one in evr.text.split(",")]
    try:
        version = max(versions, key=order)
    except ValueError as error:
        raise document.malformed(str(error), record=identity) from error
    match evr.attributes.get("operation"):
        case "less than":
            return package, Range(fixed=version)
        case "less than or equal":
            return package, Range(last=version)
        case operation:
            raise document.malformed(f"its state compares by {operation!r}, which is not understood", record=identity)


def _found(reference: str, table: Mapping[str, Element], document: Document, identity: str) -> Element:
    found = table.get(reference)
    if found is None:
        raise document.malformed(f"it refers to {reference[:120]!r}, which is not there", record=identity)
    return found
