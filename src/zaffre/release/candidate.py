# SPDX-License-Identifier: Apache-2.0
"""`zaffre release create`: a build that passed its check, with what it takes to publish it.

A candidate is one file beside the build, `<build>.release.json`. Nothing of it is taken on trust when it is published:
manifest, report and files are verified once more.
"""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zaffre.digest import sha256_bytes
from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Manifest
from zaffre.offer import Evidence, version_key
from zaffre.offer.record import IMAGE_FORM, MAX_NOTES, Digest, FileName, Time, Version
from zaffre.offer.version import FORM
from zaffre.progress import Progress
from zaffre.release.evidence import (
    check_path,
    held,
    read_bounded,
    read_evidence,
    require_signed,
)
from zaffre.release.kinds import ALWAYS, ReleasedKind, Seal, kind_of, require_files, require_sealed
from zaffre.store import write_atomic
from zaffre.trust import Certificates

RELEASE_SUFFIX = ".release.json"
CHECK_NAME = "check.json"
"""How the report of the check is called among the files of a release."""

_MAX_MANIFEST = 64 * 1024 * 1024
_MAX_SIGNATURE = 4096
_MAX_CANDIDATE = 1024 * 1024
_CHUNK = 4 * 1024 * 1024


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: Digest
    size: Annotated[int, Field(ge=1)]


class Candidate(BaseModel):
    """What will be published, but for the channel and its pace. `manifest` is the build's manifest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    kind: ReleasedKind = "host"
    image: str
    architecture: str
    version: Version
    profile: str
    root_hash: Digest | None
    created: Time
    floor: Version | None
    notes: str = Field(max_length=MAX_NOTES)
    manifest: File
    files: Annotated[dict[FileName, File], Field(min_length=1)]
    evidence: Evidence

    def source(self, build: Path, name: str) -> Path:
        """Where a file of it lies."""
        return check_path(build) if name == CHECK_NAME else build / name


def candidate_path(build: Path) -> Path:
    return build.with_name(f"{build.name}{RELEASE_SUFFIX}")


def create(
    build: Path,
    certificates: Certificates,
    *,
    seal: Seal,
    floor: str | None,
    notes: str,
    whole: bool,
    now: datetime,
    progress: Progress,
) -> Candidate:
    """Look at a build and say what would be published of it; with `whole`, its disk images too. `seal` looks at an
    extension.

    Raises DefinitionError for what is no immutable host and no extension or has no order of versions, FindingError for
    one that did not pass its check, IntegrityError for files that are not those of its manifest, or badly sealed.
    """
    manifest, data = read_manifest(build, certificates)
    kind = kind_of(build, manifest)
    _require_words(build, manifest, floor, notes)
    if floor is not None and version_key(floor) >= version_key(manifest.version):
        raise FindingError(
            f"no version can meet the floor: {floor} is not older than {manifest.version} itself",
            where="--floor",
            resolution="name the oldest version that may come to this one directly",
        )
    report, report_data = read_evidence(build, manifest, certificates)
    if whole and report.report.updated_from is not None:
        raise FindingError(
            f"the machine of its check began with {report.report.updated_from}, so nobody saw these disk images boot",
            where=str(check_path(build)),
            resolution=f"run 'zaffre check {manifest.image}' without --from, or publish no disk images",
        )
    names = [name for name in sorted(manifest.artifacts) if "/" not in name and (whole or name in ALWAYS[kind])]
    require_files(build, kind, names)
    files = {name: File(sha256=one.sha256, size=one.size) for name, one in manifest.artifacts.items() if name in names}
    signature = read_bounded(build / SIGNATURE_NAME, _MAX_SIGNATURE)
    files |= {SIGNATURE_NAME: _file(signature), CHECK_NAME: _file(report_data)}
    candidate = Candidate(
        kind=kind,
        image=manifest.image,
        architecture=manifest.architecture,
        version=manifest.version,
        profile=manifest.profile,
        root_hash=manifest.root_hash,
        created=now.replace(microsecond=0),
        floor=floor,
        notes=notes,
        manifest=_file(data),
        files=files,
        evidence=Evidence(
            report=sha256_bytes(report_data),
            checked=report.checked,
            held=held(report.report),
            machine=report.report.accelerator[:200],
        ),
    )
    _require_content(build, candidate, progress)
    require_sealed(build, kind, seal)
    return candidate


def write_candidate(build: Path, candidate: Candidate) -> Path:
    path = candidate_path(build)
    write_atomic(path, candidate.model_dump_json(indent=1).encode() + b"\n", directory=path.parent)
    return path


def read_candidate(path: Path, certificates: Certificates, progress: Progress, *, seal: Seal) -> tuple[Path, Candidate]:
    """A candidate, by its file or its build's folder, verified anew. Returns the build's folder with it.

    Raises as `create` does, and FindingError when the build is another one by now.
    """
    build = path.with_name(path.name.removesuffix(RELEASE_SUFFIX)) if path.name.endswith(RELEASE_SUFFIX) else path
    file = candidate_path(build)
    if not file.is_file():
        raise DefinitionError(
            "no release was made of this build yet",
            where=str(build),
            resolution=f"run 'zaffre release create {build}'",
        )
    try:
        told = Candidate.model_validate_json(read_bounded(file, _MAX_CANDIDATE))
    except ValidationError as error:
        raise IntegrityError("the file is no release", where=str(file), details=str(error)) from error
    found = create(
        build,
        certificates,
        seal=seal,
        floor=told.floor,
        notes=told.notes,
        whole=not set(told.files) <= {SIGNATURE_NAME, CHECK_NAME, *ALWAYS[told.kind]},
        now=told.created,
        progress=progress,
    )
    if found != told:
        raise FindingError(
            "the build is another one than when the release was made of it",
            where=str(file),
            resolution=f"run 'zaffre release create {build}' again",
        )
    return build, found


def read_manifest(build: Path, certificates: Certificates) -> tuple[Manifest, bytes]:
    """Of a build, with its bytes. Raises DefinitionError for what is no build, IntegrityError for one that the release
    key has not signed.
    """
    path = build / MANIFEST_NAME
    if not path.is_file() or not (build / SIGNATURE_NAME).is_file():
        raise DefinitionError(
            f"there is no signed {MANIFEST_NAME} here, so this is not a build",
            where=str(build),
            resolution="give the folder that 'zaffre build' made: DIR/<image>-<version>-<arch>",
        )
    data = read_bounded(path, _MAX_MANIFEST)
    require_signed(path, data, read_bounded(build / SIGNATURE_NAME, _MAX_SIGNATURE), certificates)
    try:
        return Manifest.model_validate_json(data), data
    except ValidationError as error:
        raise IntegrityError("the file is not a manifest of format 1", where=str(path), details=str(error)) from error


def _require_words(build: Path, manifest: Manifest, floor: str | None, notes: str) -> None:
    """Raises DefinitionError for what a record can't have."""
    for where, version in ((str(build), manifest.version), ("--floor", floor)):
        if version is not None and not re.fullmatch(FORM, version):
            raise DefinitionError(
                f"{version!r} cannot be the version of a release",
                where=where,
                resolution="use letters, digits and '.', '~', '^', '-', at most 64",
            )
    if not re.fullmatch(IMAGE_FORM, manifest.image):
        raise DefinitionError(f"{manifest.image!r} cannot be the name of what is released", where=str(build))
    if len(notes) > MAX_NOTES:
        raise DefinitionError(f"the notes are longer than {MAX_NOTES} characters", where="--notes")


def _file(data: bytes) -> File:
    return File(sha256=sha256_bytes(data), size=len(data))


def _require_content(build: Path, candidate: Candidate, progress: Progress) -> None:
    """Raises IntegrityError for a file that is not what the manifest says."""
    with progress.transfer("hash the files", sum(one.size for one in candidate.files.values())) as advance:
        for name, wanted in candidate.files.items():
            path = candidate.source(build, name)
            digest, size = hashlib.sha256(), 0
            try:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        size += len(chunk)
                        advance(len(chunk))
            except FileNotFoundError as error:
                raise IntegrityError("a file of the build is missing", where=str(path)) from error
            if (digest.hexdigest(), size) != (wanted.sha256, wanted.size):
                raise IntegrityError(
                    "a file of the build is not the one that its manifest names",
                    where=str(path),
                    resolution="build again, and check again",
                )
