# SPDX-License-Identifier: Apache-2.0
"""`zaffre attest`: a node's quote held against the releases of a place, or against one build.

Releases are read as a node reads them: by python-tuf's client, from a root of trust, and nothing that is out of date.
An old state, shown by a mirror, would hide that a release was revoked.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from tuf.api import exceptions
from tuf.api.metadata import Targets

from zaffre.digest import sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.follow.client import Follower, channels_of
from zaffre.follow.layout import target_place
from zaffre.measured.attest import Attested
from zaffre.measured.attest import attest as attest_evidence
from zaffre.measured.judge import Held
from zaffre.measured.prediction import ATTESTATION_NAME, MAX_ATTESTATION, Prediction, read_prediction
from zaffre.measured.quote import Evidence
from zaffre.offer import Record, version_key
from zaffre.place.target import Readable
from zaffre.release.candidate import read_manifest
from zaffre.release.evidence import read_bounded
from zaffre.release.state import records_of
from zaffre.release.verify import words
from zaffre.trust import Certificates


@dataclass(frozen=True)
class Known:
    """A build that may run: what it predicts, and the records of it in channels; a build of one's own has none."""

    prediction: Prediction
    records: tuple[Record, ...] = ()


class Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    ok: bool
    found: str


class AttestReport(BaseModel):
    """`image` and `version` are what was booted, if it is one that is known; they mean something only if `ok`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ok: bool
    image: str | None
    version: str | None
    lines: tuple[Line, ...]


def known_releases(place: Readable, trusted: bytes) -> tuple[Known, ...]:
    """All releases of a place that say what they measure. Raises IntegrityError for what does not verify or is out of
    date, DefinitionError where no release says it.
    """
    with tempfile.TemporaryDirectory(prefix="zaffre-attest-") as scratch:
        try:
            follower = Follower(place, Path(scratch), trusted)
            follower.refresh()
            channels = {name: follower.channel(name) for name in channels_of(follower.targets)}
        except (exceptions.RepositoryError, exceptions.DownloadError) as error:
            raise IntegrityError("the releases cannot be trusted", where=place.shown, details=words(error)) from error
    found: dict[str, Known] = {}
    for channel, targets in channels.items():
        for record in records_of(channel, targets, place.shown).values():
            path = record.files.get(ATTESTATION_NAME)
            if path is None:
                continue
            prediction = _read(place, targets, path, record)
            records = found[path].records if path in found else ()
            found[path] = Known(prediction, (*records, record))
    if not found:
        raise DefinitionError(
            f"no release here has its {ATTESTATION_NAME}",
            where=place.shown,
            resolution="build the image anew, check it and publish it; or give the folder of a build, by --build",
        )
    return tuple(found.values())


def known_build(build: Path, certificates: Certificates) -> Known:
    """Raises DefinitionError for what is no build or does not say what it measures, IntegrityError for what does not
    verify.
    """
    manifest, _ = read_manifest(build, certificates)
    listed = manifest.artifacts.get(ATTESTATION_NAME)
    if listed is None:
        raise DefinitionError(
            f"this build has no {ATTESTATION_NAME}", where=str(build), resolution="build the image again; hosts have it"
        )
    path = build / ATTESTATION_NAME
    data = read_bounded(path, MAX_ATTESTATION)
    if sha256_bytes(data) != listed.sha256:
        raise IntegrityError("the file is not the one of the manifest", where=str(path), resolution="build it again")
    return Known(read_prediction(data, str(path)))


def attest(evidence: Evidence, *, nonce: bytes, pinned: bytes | None, known: Sequence[Known]) -> AttestReport:
    """`pinned` is the node's key in PEM form; None for one that is seen for the first time."""
    found = attest_evidence(evidence, nonce=nonce, pinned=pinned, predictions=[one.prediction for one in known])
    lines = [*found.lines, *_said(evidence, found), *_standing(found, known)]
    return AttestReport(
        ok=all(line.ok for line in lines),
        image=found.booted.image if found.booted else None,
        version=found.booted.version if found.booted else None,
        lines=tuple(Line(name=line.name, ok=line.ok, found=line.found) for line in lines),
    )


def _read(place: Readable, targets: Targets, path: str, record: Record) -> Prediction:
    target = targets.targets.get(path)
    where = f"{place.shown}: {path}"
    if target is None:
        raise IntegrityError("the channel does not list the file", where=where)
    wanted = target.hashes["sha256"]
    data = place.read(target_place(path, wanted), limit=MAX_ATTESTATION)
    if data is None or sha256_bytes(data) != wanted:
        raise IntegrityError("the file is missing, or is not the one that is listed", where=where)
    found = read_prediction(data, where)
    if (found.image, found.architecture, found.version) != (record.image, record.architecture, record.version):
        raise IntegrityError(f"the file is of another release than {record.product} {record.version}", where=where)
    return found


def _said(evidence: Evidence, found: Attested) -> tuple[Held, ...]:
    """A host that gives itself out for another version would be counted wrongly by all who believe it."""
    if found.booted is None:
        return ()
    same = evidence.version == found.booted.version
    return (Held("what it says it is", same, f"{evidence.product} {evidence.version}"),)


def _standing(found: Attested, known: Sequence[Known]) -> tuple[Held, ...]:
    """Whether the release may still run, and whether there is a newer one, which is told and not held against it."""
    records = next((one.records for one in known if one.prediction is found.booted), ())
    if not records:
        return ()
    revoked = next((one.revoked for one in records if one.revoked is not None), None)
    if revoked is not None:
        return (Held("release", False, f"revoked on {revoked.at:%Y-%m-%d}: {revoked.reason}"),)
    product = records[0].product
    good = [
        record.version
        for one in known
        for record in one.records
        if record.product == product and record.revoked is None
    ]
    newest = max(good, key=version_key)
    return (Held("release", True, "the newest" if newest == records[0].version else f"good, and {newest} is newer"),)
