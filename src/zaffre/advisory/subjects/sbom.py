# SPDX-License-Identifier: Apache-2.0
"""Packages of a CycloneDX document (https://cyclonedx.org/docs/1.6/json/).

A document that lacks source names, or the version of its operating system, looks the same as one with nothing in it to
scanners, which then say nothing. Here it is an error. A source is named by Trivy's properties, or by the qualifier
`upstream` of the package's purl (https://github.com/package-url/purl-spec: deb, rpm), of which the first says more.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

from zaffre.advisory.formats.document import text as _text
from zaffre.advisory.formats.purl import kind_of, named, qualifiers_of
from zaffre.advisory.subject import Installed, Platform, Subject, SubjectKind, require_packages, telling
from zaffre.advisory.subjects.platforms import platform_of_root
from zaffre.advisory.versions import source_version, with_epoch
from zaffre.definition import Distribution
from zaffre.errors import DefinitionError, FindingError, IntegrityError

_MOST_BYTES = 512 << 20
_PREFIX = "aquasecurity:trivy:"
_KINDS = {"deb", "rpm"}
_PACKAGES = {"library", "framework"}
_SILENT = {"file", "operating-system"}
_TYPES = {
    *_PACKAGES,
    *_SILENT,
    *("application", "container", "cryptographic-asset", "data", "device", "device-driver", "firmware"),
    *("machine-learning-model", "platform"),
}
"""Of components (CycloneDX 1.6)."""
_MOST_NAMED = 10


def sbom_subject(path: Path, distribution: Distribution | None) -> Subject:
    """Raises DefinitionError for a document that is none, FindingError for one that can't be scanned truthfully."""
    document = read_document(path)
    if document.get("bomFormat") != "CycloneDX":
        raise DefinitionError(
            "it is not a CycloneDX document in JSON",
            where=str(path),
            details="it is an SPDX one, which is not read here" if "spdxVersion" in document else None,
            resolution="give the CycloneDX document of the same artifact",
        )
    about, components = _components(document, str(path))
    _check_named(components, about, str(path))
    platform = _platform(components, distribution, str(path))
    image = _image(document, distribution)
    packages = tuple(_packages(components, platform, image, str(path)))
    found = {_text(one, "name"): _places(one) for one in components}
    machines = [one.architecture for one in packages if one.architecture not in {"all", "noarch", ""}]
    return Subject(
        kind=SubjectKind.SBOM,
        title=f"SBOM {path}",
        platform=platform,
        architecture=max(set(machines), key=machines.count, default="all"),
        packages=require_packages(packages, str(path)),
        images=image,
        files=lambda one: telling(found.get(one.name, ())),
        notes=tuple(_passed_over(components, about)),
    )


def read_document(path: Path) -> Mapping[str, object]:
    """A JSON object. Raises DefinitionError, IntegrityError for a file that is too large."""
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"the document is larger than {_MOST_BYTES} bytes", where=str(path))
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DefinitionError("it is not JSON", where=str(path), details=str(error)) from error
    if not isinstance(document, dict):
        raise DefinitionError("it is not a JSON object", where=str(path))
    return document


def _components(document: Mapping[str, object], where: str) -> tuple[object, list[Mapping[str, object]]]:
    """What the document is about, and all components, nested ones and that one too."""
    metadata = document.get("metadata")
    about = metadata.get("component") if isinstance(metadata, dict) else None
    found: list[Mapping[str, object]] = []
    todo: list[object] = [document.get("components"), None if about is None else [about]]
    while todo:
        here = todo.pop()
        if here is None:
            continue
        if not isinstance(here, list):
            raise _malformed("its components are no list", where)
        for one in here:
            if not isinstance(one, dict) or _text(one, "type") not in _TYPES:
                raise _malformed(f"it has a component of no known type: {str(one)[:80]!a}", where)
            found.append(one)
            todo.append(one.get("components"))
    return about, found


def _malformed(why: str, where: str) -> DefinitionError:
    return DefinitionError(
        "the document is malformed",
        where=where,
        details=why,
        resolution="make it anew with a current program: what it says there would be passed over without a word",
    )


def _check_named(components: Sequence[Mapping[str, object]], about: object, where: str) -> None:
    """Raises FindingError where packages have no purl. Programs that were found without a package, and lists of other
    kinds of packages, are applications without a version, as Trivy writes them.
    """
    nameless = [
        _text(one, "name")
        for one in components
        if not _is_purl(_text(one, "purl"))
        if one.get("purl")
        or one["type"] in _PACKAGES
        or (one["type"] == "application" and one.get("version") and one is not about)
    ]
    if nameless:
        raise FindingError(
            f"the document has {len(nameless)} packages without a purl, so it can't be said what they are",
            where=where,
            details=", ".join(nameless[:_MOST_NAMED]),
            resolution="give a document whose packages have purls: they would be passed over without a word",
        )


def _is_purl(purl: str) -> bool:
    kind = kind_of(purl)
    return named(purl) is not None if kind in _KINDS else bool(kind)


def _platform(components: Sequence[Mapping[str, object]], distribution: Distribution | None, where: str) -> Platform:
    systems = [one for one in components if one.get("type") == "operating-system"]
    if len(systems) != 1:
        raise FindingError(
            f"the document has {len(systems) or 'no'} operating systems, so it can't be said which feed is its own",
            where=where,
            resolution='a document of one system has one component of the type "operating-system", with its version',
        )
    name, version = _text(systems[0], "name"), _text(systems[0], "version")
    if not version:
        raise FindingError(
            f"the document says '{name}', and not which version of it",
            where=where,
            resolution="its operating system needs a version; public scanners would find nothing at all without",
        )
    fields = {"ID": name, "VERSION_ID": version, "PRETTY_NAME": f"{name} {version}"}
    properties = _properties(systems[0])
    fields |= {key.rpartition(":")[2]: value for key, value in properties.items() if key.endswith("_CODENAME")}
    return platform_of_root(fields, distribution, where)


def _image(document: Mapping[str, object], distribution: Distribution | None) -> tuple[str, ...]:
    """The image that the document is of, if it is one of the definition's."""
    metadata = document.get("metadata")
    component = metadata.get("component") if isinstance(metadata, dict) else None
    if distribution is None or not isinstance(metadata, dict) or not isinstance(component, dict):
        return ()
    of = _properties(metadata).get("zaffre:distribution", "").partition(" ")[0]
    name = _text(component, "name").removeprefix(f"{of}-")
    return (name,) if of == distribution.identity.id and name in distribution.images else ()


def _places(one: Mapping[str, object]) -> list[str]:
    """Paths of a package's files, as its evidence has them."""
    evidence = one.get("evidence")
    rows = evidence.get("occurrences") if isinstance(evidence, dict) else None
    return [_text(row, "location") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _packages(
    components: Sequence[Mapping[str, object]], platform: Platform, images: tuple[str, ...], where: str
) -> Iterator[Installed]:
    sourceless, versionless = [], []
    for one in components:
        purl = _text(one, "purl")
        kind = kind_of(purl)
        if kind not in _KINDS:
            continue
        if kind != platform.family:
            raise FindingError(
                f"the document has {kind} packages in a system of {platform.family} packages", where=f"{where}: {purl}"
            )
        made = _installed(one, purl, platform.family)
        if made is None:
            sourceless.append(_text(one, "name"))
        elif not made.version:
            versionless.append(made.name)
        else:
            yield replace(made, within=images)
    if versionless:
        raise FindingError(
            f"the document does not say which versions {len(versionless)} packages have",
            where=where,
            details=", ".join(versionless[:_MOST_NAMED]),
            resolution="give a document whose packages have versions: without, none can be held against what is known",
        )
    if sourceless:
        raise FindingError(
            f"the document does not name the sources of {len(sourceless)} packages, by which vulnerabilities are known",
            where=where,
            details=", ".join(sourceless[:_MOST_NAMED]),
            resolution="give a document whose purls have `upstream=`, or which has Trivy's properties SrcName and "
            "SrcVersion: most findings would be missed without",
        )


def _passed_over(components: Sequence[Mapping[str, object]], about: object) -> Iterator[str]:
    """What the document has that is no package of a distribution. Files are what packages consist of."""
    counts = Counter(kind for one in components if (kind := kind_of(_text(one, "purl"))) not in {"", *_KINDS})
    if counts:
        yield f"the document has packages of other kinds, which are not scanned: {_counted(counts)}"
    others = Counter(
        _text(one, "type")
        for one in components
        if not one.get("purl") and one["type"] not in _SILENT and one is not about
    )
    if others:
        yield f"the document has components without a purl, which are not scanned: {_counted(others)}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} of {kind}" for kind, count in sorted(counts.items()))


def _installed(one: Mapping[str, object], purl: str, family: str) -> Installed | None:
    """None for a package whose source is not named. (A purl without `upstream` names none, though the document of
    one that was made from a source of its own name says so by Trivy's properties.)
    """
    path, _, query = purl.partition("#")[0].partition("?")
    stem, _, purl_version = path.partition("@")
    qualifiers = qualifiers_of(query)
    properties = _properties(one)
    name = _text(one, "name") or unquote(stem.rpartition("/")[2])
    version = _text(one, "version") or unquote(purl_version)
    epoch = qualifiers.get("epoch")
    if epoch and epoch != "0" and ":" not in version:
        version = f"{epoch}:{version}"
    architecture = qualifiers.get("arch", "")
    source = properties.get("SrcName")
    if source:
        return Installed(name, version, architecture, source, _trivys(properties, version, family))
    upstream = qualifiers.get("upstream")
    if not upstream:
        return None
    source, made = _upstreams(upstream, version, family)
    return Installed(name, version, architecture, source, made)


def _trivys(properties: Mapping[str, str], version: str, family: str) -> str:
    """Trivy keeps the parts of a version apart: SrcEpoch, SrcVersion (without revision), SrcRelease."""
    made = properties.get("SrcVersion", "")
    if not made:
        return source_version(family, version)
    if (release := properties.get("SrcRelease")) and not made.endswith(f"-{release}"):
        made = f"{made}-{release}"
    epoch = properties.get("SrcEpoch")
    if epoch and epoch != "0" and ":" not in made:
        return f"{epoch}:{made}"
    return with_epoch(made, version) if family == "rpm" else made


def _upstreams(upstream: str, version: str, family: str) -> tuple[str, str]:
    """`upstream=` is a source package's name with its version behind "@" if that is another; an RPM's is a file."""
    if family == "rpm" and upstream.endswith(".src.rpm"):
        stem, _, release = upstream.removesuffix(".src.rpm").rpartition("-")
        name, _, number = stem.rpartition("-")
        return name, with_epoch(f"{number}-{release}", version)
    name, _, made = upstream.partition("@")
    return name, made or source_version(family, version)


def _properties(one: Mapping[str, object]) -> dict[str, str]:
    """A component's properties; Trivy's without their prefix."""
    rows = one.get("properties")
    found = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and isinstance(row.get("name"), str) and isinstance(row.get("value"), str):
            found[_text(row, "name").removeprefix(_PREFIX)] = _text(row, "value")
    return found
