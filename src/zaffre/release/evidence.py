# SPDX-License-Identifier: Apache-2.0
"""What `zaffre check` leaves behind: its report, bound to the files that it was about, signed by the release key.

It lies beside the build, `<build>.check.json`, since a build is exactly the files that its manifest names. A check that
failed takes the place of one that passed.
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal, Protocol

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zaffre.errors import FindingError, IntegrityError
from zaffre.machine.report import CheckReport, Verdict
from zaffre.manifest import Manifest
from zaffre.store import write_atomic
from zaffre.trust import Certificates, Role, signature_holds

CHECK_SUFFIX = ".check.json"
_MAX_REPORT = 4 * 1024 * 1024
_MAX_SIGNATURE = 4096


class ReportSigner(Protocol):
    """Whoever signs for the owner's builds; `trust` has those that do."""

    def sign_bytes(self, data: bytes) -> bytes: ...


class CheckFile(BaseModel):
    """`artifacts` are the SHA-256 of all files of the build; `checked` is when, and `zaffre` by which version of it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    image: str
    version: str
    architecture: str
    artifacts: Annotated[dict[str, str], Field(min_length=1)]
    checked: datetime
    zaffre: str
    report: CheckReport


def check_path(build: Path) -> Path:
    return build.with_name(f"{build.name}{CHECK_SUFFIX}")


def leave_evidence(
    build: Path, manifest: Manifest, report: CheckReport, signer: ReportSigner, *, now: datetime
) -> Path:
    """Write the report beside the build, and its signature in the file's name with `.sig`. Returns where."""
    file = CheckFile(
        image=manifest.image,
        version=manifest.version,
        architecture=manifest.architecture,
        artifacts=_digests(manifest),
        checked=now.astimezone(UTC).replace(microsecond=0),
        zaffre=version("zaffre"),
        report=report,
    )
    data = file.model_dump_json(indent=1).encode() + b"\n"
    forget_evidence(build)
    path = check_path(build)
    signature = signature_path(path)
    write_atomic(path, data, directory=path.parent)
    write_atomic(signature, signer.sign_bytes(data), directory=path.parent)
    return path


def forget_evidence(build: Path) -> None:
    """What was found of a build before does not hold any more."""
    for path in (signature_path(check_path(build)), check_path(build)):
        path.unlink(missing_ok=True)


def signature_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def read_evidence(build: Path, manifest: Manifest, certificates: Certificates) -> tuple[CheckFile, bytes]:
    """The report and its bytes, if it vouches for these very files.

    Raises FindingError when the build was not checked, did not pass, or is not the one that was; IntegrityError for a
    report that the release key has not signed, or that can't be read.
    """
    path = check_path(build)
    again = f"run 'zaffre check {manifest.image}', on the files that you will publish"
    if not path.is_file() or not signature_path(path).is_file():
        raise FindingError("this build was not checked", where=str(build), resolution=again)
    data = read_bounded(path, _MAX_REPORT)
    require_signed(path, data, read_bounded(signature_path(path), _MAX_SIGNATURE), certificates)
    try:
        file = CheckFile.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError("the report of the check can't be read", where=str(path), details=str(error)) from error
    if (file.image, file.version, file.architecture, file.artifacts) != (
        manifest.image,
        manifest.version,
        manifest.architecture,
        _digests(manifest),
    ):
        raise FindingError("what was checked are not these files", where=str(path), resolution=again)
    failed = [line for line in file.report.lines if line.verdict is Verdict.FAILED]
    if failed or not held(file.report):
        raise FindingError(
            f"this build did not pass its check: {len(failed)} of {held(file.report) + len(failed)} lines do not hold",
            where=str(path),
            details="\n".join(f"{line.title}: {line.found}" for line in failed),
            resolution=f"mend the image, build it, and run 'zaffre check {manifest.image}' again",
        )
    return file, data


def held(report: CheckReport) -> int:
    """How many lines were judged, and hold."""
    return sum(line.verdict is Verdict.PASSED for line in report.lines)


def require_signed(path: Path, data: bytes, signature: bytes, certificates: Certificates) -> None:
    """Raises IntegrityError unless the release key has signed `data`."""
    key = certificates[Role.RELEASE].public_key
    if not isinstance(key, ec.EllipticCurvePublicKey) or not signature_holds(key, data, signature):
        raise IntegrityError(
            "the signature is not the release key's",
            where=str(signature_path(path)),
            resolution="use the keys that built it (--keys DIR), or build and check again with yours",
        )


def read_bounded(path: Path, limit: int) -> bytes:
    """Raises IntegrityError for a larger file, OSError for one that can't be read."""
    with path.open("rb") as file:
        data = file.read(limit + 1)
    if len(data) > limit:
        raise IntegrityError(f"the file is larger than it may be ({limit} bytes)", where=str(path))
    return data


def _digests(manifest: Manifest) -> dict[str, str]:
    return {name: artifact.sha256 for name, artifact in sorted(manifest.artifacts.items())}
