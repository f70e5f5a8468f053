# SPDX-License-Identifier: Apache-2.0
"""Whether a build's papers are of this build: its provenance, and its bill of materials in both forms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from zaffre.bill import CYCLONEDX_NAME, PROVENANCE_NAME, SPDX_NAME
from zaffre.errors import IntegrityError
from zaffre.manifest import SUMS_NAME, Manifest
from zaffre.trust.inspector import Verdict
from zaffre.trust.keys import Certificates, Role
from zaffre.trust.provenance import SLSA, STATEMENT, opened

PAPERS = (CYCLONEDX_NAME, SPDX_NAME, PROVENANCE_NAME)

_MOST_BYTES = 256 << 20
_MOST_NAMED = 3
_LATER = frozenset({PROVENANCE_NAME, SUMS_NAME})
"""Artifacts that are made after the statement about all others."""

_Package = tuple[str, str, str]


def check_provenance(directory: Path, manifest: Manifest, certificates: Certificates) -> Verdict:
    """Signed by the release key, about exactly these artifacts, and made from what the manifest says."""
    release = certificates[Role.RELEASE]
    if not isinstance(release.public_key, ec.EllipticCurvePublicKey):  # load_certificates has seen to it
        raise IntegrityError("the release key is not ECDSA", where=str(release.path))
    value = opened(_read(directory / PROVENANCE_NAME), release.public_key)
    with _form("a statement of provenance"):
        if (value["_type"], value["predicateType"]) != (STATEMENT, SLSA):
            return Verdict(ok=False, detail="it is a statement of another kind")
        subjects = {one["name"]: one["digest"]["sha256"] for one in value["subject"]}
        inputs = value["predicate"]["buildDefinition"]["resolvedDependencies"]
        named = {one["name"]: one["digest"]["sha256"] for one in inputs}
        packages = {one["digest"]["sha256"] for one in inputs if "uri" in one}
    wanted = {name: one.sha256 for name, one in manifest.artifacts.items() if name not in _LATER}
    if other := _differing(wanted, subjects):
        return Verdict(ok=False, detail=f"it is about other files: {other}")
    made_from = {"definition": manifest.definition, "lock": manifest.lock, "tools": manifest.tools}
    if other := _differing(made_from, {name: named.get(name) for name in made_from}):
        return Verdict(ok=False, detail=f"it names other inputs than the manifest: {other}")
    if strange := packages - _known(manifest):
        return Verdict(ok=False, detail=f"the manifest does not know {len(strange)} of its packages")
    return Verdict(
        ok=True, detail=f"of {len(subjects)} files from {len(packages)} packages (SLSA), signed by the release key"
    )


def check_bills(directory: Path, manifest: Manifest) -> Verdict:
    """Both forms name the same packages, those of the manifest, and the artifacts that are there."""
    with _form("a bill of materials"):
        cyclonedx = set(_of_cyclonedx(_json(directory / CYCLONEDX_NAME)))
        spdx = set(_of_spdx(_json(directory / SPDX_NAME)))
    if cyclonedx != spdx:
        return Verdict(ok=False, detail=f"the forms differ in {_some(name for name, *_ in cyclonedx ^ spdx)}")
    listed = {(one.name, one.version, one.sha256) for one in manifest.packages}
    made = {one.sha256 for name, one in manifest.artifacts.items() if name.endswith(".deb")}
    if strange := [name for name, version, sha256 in cyclonedx - listed if sha256 not in made]:
        return Verdict(ok=False, detail=f"the manifest does not know {_some(strange)}")
    if manifest.kind not in {"sysext", "confext"} and (missing := listed - cyclonedx):
        return Verdict(ok=False, detail=f"they lack {_some(name for name, *_ in missing)}")
    return Verdict(ok=True, detail=f"CycloneDX and SPDX name the same {len(cyclonedx)} packages, those of the manifest")


def _known(manifest: Manifest) -> set[str]:
    return {one.sha256 for one in manifest.packages} | {one.sha256 for one in manifest.artifacts.values()}


def _of_cyclonedx(value: Mapping[str, Any]) -> Iterator[_Package]:
    for one in value["components"]:
        if one["type"] == "library":
            yield one["name"], one["version"], one["hashes"][0]["content"]


def _of_spdx(value: Mapping[str, Any]) -> Iterator[_Package]:
    for one in value["packages"]:
        if one.get("checksums"):
            yield one["name"], one["versionInfo"], one["checksums"][0]["checksumValue"]


@dataclass(frozen=True)
class Listed:
    """A file of an image, as the bill has it: `package` is the name of the one that has it, `origin` what else it is
    from.
    """

    sha256: str
    package: str | None
    origin: str


def listed_files(directory: Path) -> dict[str, Listed]:
    """The files of an image by the SPDX document. Raises IntegrityError for another thing."""
    with _form("a bill of materials"):
        value = _json(directory / SPDX_NAME)
        names = {one["SPDXID"]: one["name"] for one in value["packages"] if one.get("checksums")}
        owners = {
            one["relatedSpdxElement"]: names[one["spdxElementId"]]
            for one in value["relationships"]
            if one["relationshipType"] == "CONTAINS" and one["spdxElementId"] in names
        }
        return {one["fileName"].removeprefix("."): _listed(one, owners) for one in value["files"]}


def _listed(one: Mapping[str, Any], owners: Mapping[str, str]) -> Listed:
    digests = {each["algorithm"]: each["checksumValue"] for each in one["checksums"]}
    return Listed(digests["SHA256"], owners.get(one["SPDXID"]), one.get("comment", ""))


@contextmanager
def _form(what: str) -> Iterator[None]:
    """What is not of the form that it should have is a finding, not a fault of ours."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise IntegrityError(f"it does not have the form of {what}", details=repr(error)) from error


def _json(path: Path) -> Any:
    try:
        return json.loads(_read(path))
    except (ValueError, RecursionError) as error:
        raise IntegrityError("the file is not JSON", where=path.name, details=str(error)) from error


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"the file is larger than {_MOST_BYTES} bytes", where=path.name)
    return data


def _differing(wanted: Mapping[str, str], found: Mapping[str, str | None]) -> str:
    return _some(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))


def _some(names: Iterable[str]) -> str:
    found = sorted(set(names))
    more = len(found) - _MOST_NAMED
    return ", ".join(found[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
