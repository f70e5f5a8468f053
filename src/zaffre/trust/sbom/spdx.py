# SPDX-License-Identifier: Apache-2.0
"""SPDX 2.3, as JSON. Pure.

Source: the SPDX specification 2.3 (chapters 6 to 11, annex D) and its JSON schema. Trivy takes the source package from
`sourceInfo`, and what a package is from annotations, both in its own words.

Every file that a package has in the image is listed below it, with the SHA-1 that the format demands; what the image
takes away is not. A package of which nothing is left has `filesAnalyzed` false.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from zaffre.bill import Bill, BillFile, BillPackage
from zaffre.digest import JSON
from zaffre.trust.sbom.purl import binary_purl
from zaffre.trust.sbom.text import TOOL, Lines, document, identity, line, moment

_DOCUMENT = "SPDXRef-DOCUMENT"
_IMAGE = "SPDXRef-Image"
_SYSTEM = "SPDXRef-OperatingSystem"
_UNKNOWN = "NOASSERTION"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9.-]+")


def spdx_text(bill: Bill) -> str:
    """The document. It is for `Bill`s of any size: 10,000 packages take well under a second."""
    owned: defaultdict[tuple[str, str], list[tuple[str, BillFile]]] = defaultdict(list)
    loose: list[str] = []
    for number, file in enumerate(bill.files):
        name = f"SPDXRef-File-{number}"
        if file.package is None:
            loose.append(name)
        else:
            owned[file.package].append((name, file))
    sources = _sources(bill)
    return document(
        {
            "spdxVersion": "SPDX-2.3",
            "dataLicense": "CC0-1.0",
            "SPDXID": _DOCUMENT,
            "name": f"{bill.name}-{bill.version}-{bill.architecture}",
            "documentNamespace": f"https://spdx.org/spdxdocs/{bill.name}-{identity(bill, 'spdx')}",
            "creationInfo": {
                "created": moment(bill.epoch),
                "creators": [f"Tool: {TOOL}", f"Organization: {bill.distribution.name}"],
            },
            "comment": "\n".join(_facts(bill)),
            "packages": Lines(map(line, _packages(bill, owned, sources))),
            "files": Lines(line(_file(number, one)) for number, one in enumerate(bill.files)),
            "hasExtractedLicensingInfos": list(_references(bill.packages)),
            "relationships": Lines(map(line, _relations(bill, owned, loose, sources))),
        }
    )


_Owned = Mapping[tuple[str, str], Sequence[tuple[str, BillFile]]]
_Sources = Mapping[tuple[str, str], tuple[str, BillPackage]]


def _sources(bill: Bill) -> _Sources:
    """Each source package once, with its identifier."""
    found: dict[tuple[str, str], tuple[str, BillPackage]] = {}
    for one in bill.packages:
        found.setdefault((one.source, one.source_version), (f"SPDXRef-Source-{_plain(one.source)}-{len(found)}", one))
    return found


def _packages(bill: Bill, owned: _Owned, sources: _Sources) -> Iterator[JSON]:
    yield _image(bill)
    yield _system(bill)
    for one in bill.packages:
        yield _package(bill, one, [file for _, file in owned[_key(one)]])
    for name, one in sources.values():
        yield _source(name, one)


def _relations(bill: Bill, owned: _Owned, loose: Iterable[str], sources: _Sources) -> Iterator[JSON]:
    yield _relation(_DOCUMENT, "DESCRIBES", _IMAGE)
    yield _relation(_IMAGE, "CONTAINS", _SYSTEM)
    for one in bill.packages:
        yield _relation(_SYSTEM, "CONTAINS", _identifier(one))
        yield _relation(_identifier(one), "GENERATED_FROM", sources[one.source, one.source_version][0])
        for name, _ in owned[_key(one)]:
            yield _relation(_identifier(one), "CONTAINS", name)
    for name in loose:
        yield _relation(_IMAGE, "CONTAINS", name)


def _relation(one: str, kind: str, other: str) -> JSON:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def _facts(bill: Bill) -> Iterator[str]:
    yield f"{bill.kind} {bill.name} {bill.version}, profile {bill.profile}"
    yield f"definition sha256:{bill.definition}"
    yield f"lock sha256:{bill.lock}"
    yield f"tools sha256:{bill.tools}"
    for one in bill.suites:
        until = f", valid until {one.valid_until}" if one.valid_until else ""
        yield f"upstream {one.archive}/{one.suite}: Release sha256:{one.release_sha256} of {one.date}{until}"


def _image(bill: Bill) -> JSON:
    loose = [one for one in bill.files if one.package is None]
    artifacts = "\n".join(f"sha256:{one.sha256} {one.name}" for one in bill.artifacts)
    return {
        "SPDXID": _IMAGE,
        "name": bill.name,
        "versionInfo": bill.version,
        "supplier": f"Organization: {bill.distribution.name}",
        "downloadLocation": _UNKNOWN,
        "primaryPackagePurpose": "CONTAINER" if bill.kind == "container" else "INSTALL",
        **_analysed(loose),
        **_licences(_UNKNOWN),
        **({"comment": f"It is given as:\n{artifacts}"} if artifacts else {}),
    }


def _system(bill: Bill) -> JSON:
    return {
        "SPDXID": _SYSTEM,
        "name": bill.system.id,
        "versionInfo": bill.system.version,
        "summary": bill.system.name,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
        **_licences(_UNKNOWN),
        "annotations": [_annotation(bill, "Class: os-pkgs"), _annotation(bill, f"Type: {bill.system.id}")],
    }


def _package(bill: Bill, one: BillPackage, files: Sequence[BillFile]) -> JSON:
    said: dict[str, JSON] = {
        "SPDXID": _identifier(one),
        "name": one.name,
        "versionInfo": one.version,
        "downloadLocation": _UNKNOWN,
        "primaryPackagePurpose": "LIBRARY",
        "checksums": [{"algorithm": "SHA256", "checksumValue": one.sha256}],
        **_analysed(files),
        "sourceInfo": f"built package from: {one.source} {one.source_version}",
        **_licences(one.licence.expression or _UNKNOWN),
        "externalRefs": [_purl(binary_purl(bill, one))],
        "annotations": [
            _annotation(bill, f"PkgID: {one.name}@{one.version}"),
            _annotation(bill, f"PkgType: {bill.system.id}"),
        ],
        "comment": f"from {one.archive}{f'/{one.suite}' if one.suite else ''}"
        + ("" if one.installed else "; only files of it are in the image"),
    }
    if one.built:
        said["supplier"] = f"Organization: {bill.distribution.name}"
    return said


def _source(name: str, one: BillPackage) -> JSON:
    """Without a purl: Trivy would count it as installed."""
    return {
        "SPDXID": name,
        "name": one.source,
        "versionInfo": one.source_version,
        "downloadLocation": _UNKNOWN,
        "filesAnalyzed": False,
        "primaryPackagePurpose": "SOURCE",
        **_licences(_UNKNOWN),
    }


def _file(number: int, one: BillFile) -> JSON:
    said: dict[str, JSON] = {
        "SPDXID": f"SPDXRef-File-{number}",
        "fileName": f".{one.path}",
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": one.sha1},
            {"algorithm": "SHA256", "checksumValue": one.sha256},
        ],
        "licenseConcluded": _UNKNOWN,
        "copyrightText": _UNKNOWN,
    }
    if one.origin is not None:
        said["comment"] = f"{one.origin}: {one.tree}" if one.tree else str(one.origin)
    return said


def _analysed(files: Sequence[BillFile]) -> dict[str, JSON]:
    """With the package verification code (7.9) over what is listed: SHA-1 over the sorted SHA-1s."""
    if not files:
        return {"filesAnalyzed": False}
    text = "".join(sorted(one.sha1 for one in files))
    code = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return {"filesAnalyzed": True, "packageVerificationCode": {"packageVerificationCodeValue": code}}


def _licences(declared: str) -> dict[str, JSON]:
    return {"licenseConcluded": _UNKNOWN, "licenseDeclared": declared, "copyrightText": _UNKNOWN}


def _references(packages: Iterable[BillPackage]) -> Iterator[JSON]:
    names = {reference: name for one in packages for reference, name in one.licence.references}
    for reference, name in sorted(names.items()):
        yield {
            "licenseId": reference,
            "name": name,
            "extractedText": f"What packages call {name!r} in their copyright files, which have its text.",
        }


def _annotation(bill: Bill, text: str) -> JSON:
    return {
        "annotator": f"Tool: {TOOL}",
        "annotationDate": moment(bill.epoch),
        "annotationType": "OTHER",
        "comment": text,
    }


def _purl(text: str) -> JSON:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": text}


def _key(one: BillPackage) -> tuple[str, str]:
    return one.name, one.architecture


def _identifier(one: BillPackage) -> str:
    return f"SPDXRef-Package-{_plain(one.name)}-{_plain(one.architecture)}-{one.sha256[:16]}"


def _plain(text: str) -> str:
    return _NOT_IN_A_NAME.sub("-", text)
