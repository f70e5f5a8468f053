# SPDX-License-Identifier: Apache-2.0
"""`zaffre verify`: hold a build against its manifest, and the manifest against the owner's keys.

The chain, each link a check of the report: the release key signed the manifest; the manifest names every
file by size and SHA-256, and there is no other; the db key signed the unified kernel image; its command
line carries the root hash; the root hash seals the root file system through the hash tree; and what lies
inside the disk image is exactly those files. A link that does not hold is a finding, and all are looked at;
an error is raised only if there is no answer: an unreadable folder, a tool that can't be started.

Format of the signature: `manifest.json.sig` is one line of base64 of a DER ECDSA signature over SHA-256:

    cosign verify-blob --insecure-ignore-tlog --key release.pub --signature manifest.json.sig manifest.json
    base64 -d manifest.json.sig >sig; openssl dgst -sha256 -verify release.pub -signature sig manifest.json
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, ValidationError, computed_field

from zaffre.digest import sha256_file
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact, FormManifest, Manifest
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox
from zaffre.trust.container import ARCHIVE, LAYOUT
from zaffre.trust.contents import check_contents
from zaffre.trust.inspector import Inspector
from zaffre.trust.keys import Certificates, Role
from zaffre.trust.signer import signature_holds

UNSIGNED = frozenset({MANIFEST_NAME, SIGNATURE_NAME})
"""Files of a build that the manifest does not name: itself and its signature."""

_CHUNK = 4 * 1024 * 1024
_MAX_MANIFEST = 64 * 1024 * 1024
_MAX_SIGNATURE = 4096
_NEEDED = {
    "host": ("image.raw", "root.erofs", "root.verity", "uki.efi"),
    "server": ("image.raw", "uki.efi"),
    "container": (ARCHIVE, f"{LAYOUT}/index.json", f"{LAYOUT}/oci-layout"),
    "wsl": ("image.wsl",),
}


class Check(BaseModel):
    """One link of the chain; `detail` says what was seen, or what did not hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ok: bool
    detail: str


class VerifyReport(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    directory: str
    image: str | None
    version: str | None
    checks: tuple[Check, ...]

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented form
    @property
    def ok(self) -> bool:
        return all(check.ok for check in self.checks)


def verify_build(
    directory: Path, *, certificates: Certificates, sandbox: Sandbox, progress: Progress = SILENT
) -> VerifyReport:
    """Look at every link. Raises DefinitionError if `directory` is no build, ToolError if a tool can't be started."""
    if not (directory / MANIFEST_NAME).is_file():
        raise DefinitionError(
            f"there is no {MANIFEST_NAME} here, so this is not a build",
            where=str(directory),
            resolution="give the folder that 'zaffre build' made: DIR/<image>-<version>-<arch>",
        )
    data = _read_bounded(directory / MANIFEST_NAME, _MAX_MANIFEST)
    checks = [_signature(directory, data, certificates)]
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        checks.append(Check(name="manifest", ok=False, detail=f"not a manifest of format 1: {place}: {first['msg']}"))
        return VerifyReport(directory=str(directory), image=None, version=None, checks=tuple(checks))
    checks.append(_listing(directory, manifest))
    checks.extend(_artifacts(directory, manifest, progress))
    inspector = Inspector(directory, certificates, sandbox)
    checks.extend(
        Check(name=name, ok=verdict.ok, detail=verdict.detail)
        for name, verdict in check_contents(manifest, inspector, progress)
    )
    return VerifyReport(directory=str(directory), image=manifest.image, version=manifest.version, checks=tuple(checks))


def verify_form(file: Path, *, certificates: Certificates) -> VerifyReport:
    """Hold a file that `zaffre convert` made against the manifest beside it. Raises DefinitionError without one."""
    beside = Path(f"{file}.json")
    if not beside.is_file():
        raise DefinitionError(
            f"there is no {beside.name} beside it, so nothing says what it is",
            where=str(file),
            resolution="give the folder that 'zaffre build' made, or a file that 'zaffre convert' made",
        )
    data = _read_bounded(beside, _MAX_MANIFEST)
    checks = [_signed(Path(f"{beside}.sig"), data, certificates)]
    try:
        manifest = FormManifest.model_validate_json(data)
    except ValidationError as error:
        checks.append(Check(name="manifest", ok=False, detail=f"not a manifest of a form: {error.errors()[0]['msg']}"))
        return VerifyReport(directory=str(file), image=None, version=None, checks=tuple(checks))
    told = Artifact(sha256=manifest.sha256, size=manifest.size)
    if file.stat().st_size != told.size:
        detail = f"{file.stat().st_size} bytes, the manifest says {told.size}"
        checks.append(Check(name=file.name, ok=False, detail=detail))
    else:
        checks.append(_digest_check(file.name, sha256_file(file), told))
    return VerifyReport(directory=str(file), image=manifest.image, version=manifest.version, checks=tuple(checks))


def _read_bounded(path: Path, limit: int) -> bytes:
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError(f"the file is larger than {limit} bytes", where=str(path))
    return data


def _signature(directory: Path, manifest: bytes, certificates: Certificates) -> Check:
    return _signed(directory / SIGNATURE_NAME, manifest, certificates)


def _signed(path: Path, manifest: bytes, certificates: Certificates) -> Check:
    release = certificates[Role.RELEASE]
    who = f"release key {release.fingerprint[:16]}"
    if not path.is_file():
        return Check(name="manifest signature", ok=False, detail=f"{path.name} is missing")
    if not isinstance(release.public_key, ec.EllipticCurvePublicKey):  # load_certificates has seen to it
        raise IntegrityError("the release key is not ECDSA", where=str(release.path))
    if signature_holds(release.public_key, manifest, _read_bounded(path, _MAX_SIGNATURE)):
        return Check(name="manifest signature", ok=True, detail=f"signed by {who}")
    return Check(name="manifest signature", ok=False, detail=f"{path.name} was not made over this file by {who}")


def _listing(directory: Path, manifest: Manifest) -> Check:
    """Every named file is there as a plain file, nothing else is, and nothing that its kind needs is unnamed."""
    named = set(manifest.artifacts)
    folders = {parent.as_posix() for name in named for parent in PurePosixPath(name).parents}
    present = {
        path.relative_to(directory).as_posix()
        for path in directory.rglob("*")
        if path.is_symlink() or not path.is_dir() or path.relative_to(directory).as_posix() not in folders
    }
    faults = [
        *(f"{name}: named in the manifest but missing" for name in sorted(named - present)),
        *(f"{name}: not named in the manifest" for name in sorted(present - named - UNSIGNED)),
        *(f"{name}: not a name of an artifact" for name in sorted(named) if name in UNSIGNED or not _is_below(name)),
        *(
            f"{name}: not a regular file"
            for name in sorted(present & (named | UNSIGNED))
            if not _is_plain(directory, name)
        ),
        *(
            f"{name}: a {manifest.kind} image needs it, and the manifest does not name it"
            for name in _NEEDED.get(manifest.kind, ())
            if name not in named
        ),
    ]
    if faults:
        return Check(name="files", ok=False, detail="; ".join(faults))
    return Check(name="files", ok=True, detail=f"{len(named)} artifacts, none missing, nothing else")


def _is_below(name: str) -> bool:
    """Whether it is a path that leads nowhere but down."""
    return not set(name.split("/")) & {"", ".", ".."}


def _is_plain(directory: Path, name: str) -> bool:
    """Whether it is a regular file to which no link leads."""
    parts = PurePosixPath(name).parts
    steps = [directory.joinpath(*parts[: number + 1]) for number in range(len(parts))]
    return not any(step.is_symlink() for step in steps) and steps[-1].is_file()


def _artifacts(directory: Path, manifest: Manifest, progress: Progress) -> Iterator[Check]:
    usable = {
        name: artifact
        for name, artifact in sorted(manifest.artifacts.items())
        if _is_below(name) and _is_plain(directory, name)
    }
    with progress.transfer("hash artifacts", sum(artifact.size for artifact in usable.values())) as advance:
        for name, artifact in usable.items():
            path = directory / name
            size = path.stat().st_size
            if size != artifact.size:
                detail = f"{size} bytes, the manifest says {artifact.size}"
                yield Check(name=name, ok=False, detail=detail)
                continue
            found = hashlib.sha256()
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    found.update(chunk)
                    advance(len(chunk))
            yield _digest_check(name, found.hexdigest(), artifact)


def _digest_check(name: str, found: str, artifact: Artifact) -> Check:
    if found != artifact.sha256:
        return Check(name=name, ok=False, detail=f"sha256 is {found}, the manifest says {artifact.sha256}")
    return Check(name=name, ok=True, detail=f"sha256 {found[:16]}..., {artifact.size} bytes")
