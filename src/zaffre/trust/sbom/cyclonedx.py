# SPDX-License-Identifier: Apache-2.0
"""CycloneDX 1.6, as JSON. Pure.

Source: the CycloneDX specification 1.6 (ECMA-424) and its JSON schema. The properties that begin with
`aquasecurity:trivy:` are what Trivy reads of a package beside its purl: without the source package it finds a fraction
of the holes, and without a version of the operating system none, and says so in neither case.

A file of a package stands in its `evidence`, by its path; one of no package is a component, with its digest. A source
package is in the pedigree of what was built from it: as a component, it would count as installed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from zaffre.bill import Bill, BillFile, BillPackage
from zaffre.digest import JSON
from zaffre.trust.sbom.purl import binary_purl, parts, source_purl
from zaffre.trust.sbom.text import TOOL, Lines, document, identity, line, moment

_TRIVY = "aquasecurity:trivy"
_SYSTEM = "system"
_IMAGE = "image"
_FILE = "file:"


def cyclonedx_text(bill: Bill) -> str:
    """The document. It is for `Bill`s of any size: 10,000 packages take well under a second."""
    owned: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    loose = []
    for file in bill.files:
        if file.package is None:
            loose.append(file)
        else:
            owned[file.package].append(file.path)
    purls = [binary_purl(bill, one) for one in bill.packages]
    components = Lines([line(_system(bill))])
    for purl, one in zip(purls, bill.packages, strict=True):
        components.append(line(_package(bill, one, purl, owned[one.name, one.architecture])))
    components += map(line, map(_file, loose))
    return document(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{identity(bill, 'cyclonedx')}",
            "version": 1,
            "metadata": {
                "timestamp": moment(bill.epoch),
                "tools": {"components": [{"type": "application", "name": TOOL}]},
                "component": _image(bill),
                "properties": list(_facts(bill)),
            },
            "components": components,
            "dependencies": [
                {"ref": _IMAGE, "dependsOn": [_SYSTEM, *(f"{_FILE}{one.path}" for one in loose)]},
                {"ref": _SYSTEM, "dependsOn": sorted(set(purls))},
            ],
            "compositions": [{"aggregate": "complete" if bill.files else "incomplete", "assemblies": [_IMAGE]}],
        }
    )


def _image(bill: Bill) -> Mapping[str, JSON]:
    """What the document is of: not an operating system, as a scanner would take it for the one to look up."""
    said: dict[str, JSON] = {
        "bom-ref": _IMAGE,
        "type": "container" if bill.kind == "container" else "platform",
        "name": bill.name,
        "version": bill.version,
    }
    if bill.artifacts:
        said["components"] = [
            {"type": "file", "name": one.name, "hashes": [_sha256(one.sha256)]} for one in bill.artifacts
        ]
    return said


def _facts(bill: Bill) -> Iterator[JSON]:
    yield from _properties(
        {
            "zaffre:distribution": f"{bill.distribution.id} {bill.distribution.version}",
            "zaffre:kind": bill.kind,
            "zaffre:architecture": bill.architecture,
            "zaffre:profile": bill.profile,
            "zaffre:definition": bill.definition,
            "zaffre:lock": bill.lock,
            "zaffre:tools": bill.tools,
        }
    )
    for one in bill.suites:
        where = f"zaffre:upstream:{one.archive}/{one.suite}"
        facts = {f"{where}:release-sha256": one.release_sha256, f"{where}:date": one.date}
        if one.valid_until is not None:
            facts[f"{where}:valid-until"] = one.valid_until
        yield from _properties(facts)


def _system(bill: Bill) -> Mapping[str, JSON]:
    return {
        "bom-ref": _SYSTEM,
        "type": "operating-system",
        "name": bill.system.id,
        "version": bill.system.version,
        "description": bill.system.name,
        "properties": list(_properties({f"{_TRIVY}:Class": "os-pkgs", f"{_TRIVY}:Type": bill.system.id})),
    }


def _package(bill: Bill, one: BillPackage, purl: str, paths: list[str]) -> Mapping[str, JSON]:
    said: dict[str, JSON] = {
        "bom-ref": purl,
        "type": "library",
        "name": one.name,
        "version": one.version,
        "hashes": [_sha256(one.sha256)],
    }
    if one.licence.expression is not None:
        said["licenses"] = [{"acknowledgement": "declared", "expression": one.licence.expression}]
    source = {
        "type": "library",
        "name": one.source,
        "version": one.source_version,
        "purl": source_purl(bill, one),
    }
    said |= {"purl": purl, "pedigree": {"ancestors": [source]}}
    if paths:
        said["evidence"] = {"occurrences": [{"location": path} for path in paths]}
    said["properties"] = list(_properties(_package_facts(bill, one)))
    return said


def _package_facts(bill: Bill, one: BillPackage) -> dict[str, str]:
    source = parts(one.source_version)
    facts = {
        f"{_TRIVY}:PkgID": f"{one.name}@{one.version}",
        f"{_TRIVY}:PkgType": bill.system.id,
        f"{_TRIVY}:SrcName": one.source,
        f"{_TRIVY}:SrcVersion": source.version,
    }
    if source.release:
        facts[f"{_TRIVY}:SrcRelease"] = source.release
    if source.epoch:
        facts[f"{_TRIVY}:SrcEpoch"] = str(source.epoch)
    facts |= {"zaffre:archive": one.archive, "zaffre:suite": one.suite, "zaffre:size": str(one.size)}
    if one.built:
        facts["zaffre:built"] = "true"
    if not one.installed:
        facts["zaffre:installed"] = "false"
    if one.licence.expression is None:
        facts["zaffre:licence"] = "NOASSERTION"
    for reference, name in one.licence.references:
        facts[f"zaffre:licence:{reference}"] = name
    return facts


def _file(one: BillFile) -> dict[str, JSON]:
    facts = {"zaffre:origin": str(one.origin)} | ({"zaffre:tree": one.tree} if one.tree else {})
    return {
        "bom-ref": f"{_FILE}{one.path}",
        "type": "file",
        "name": one.path,
        "hashes": [_sha256(one.sha256)],
        "properties": list(_properties(facts)),
    }


def _sha256(digest: str) -> JSON:
    return {"alg": "SHA-256", "content": digest}


def _properties(facts: Mapping[str, str]) -> Iterator[JSON]:
    return ({"name": name, "value": value} for name, value in facts.items() if value)
