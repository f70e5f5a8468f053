# SPDX-License-Identifier: Apache-2.0
r"""How a build came about, signed: an in-toto statement with SLSA provenance in a DSSE envelope.

Sources: in-toto attestation framework v1 (statement, envelope, resource descriptor), SLSA provenance v1, DSSE v1. It is
what `cosign verify-blob-attestation` verifies:

    cosign verify-blob-attestation --insecure-ignore-tlog --key release.pub --type slsaprovenance1 \
        --signature provenance.intoto.json root.erofs

It has no time but the lock's and no name of a machine: whoever builds the same again says the same. What is named by a
key of ours (definition, lock, tools) has that as its sha256, as keys are digests of what they stand for.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from zaffre.bill import Bill, BillArtifact
from zaffre.digest import JSON, canonical_json
from zaffre.errors import IntegrityError
from zaffre.trust.sbom.purl import binary_purl
from zaffre.trust.sbom.text import moment
from zaffre.trust.signer import Signer, signature_holds

STATEMENT = "https://in-toto.io/Statement/v1"
SLSA = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

_BUILD_TYPE = "urn:x-zaffre:build:1"
_BUILDER = "urn:x-zaffre:builder"


def statement(bill: Bill, papers: tuple[BillArtifact, ...]) -> Mapping[str, JSON]:
    """What is said of the artifacts of a bill, and of the papers that came with them. Pure."""
    return {
        "_type": STATEMENT,
        "subject": [
            {"name": one.name, "digest": {"sha256": one.sha256}}
            for one in sorted((*bill.artifacts, *papers), key=lambda one: one.name)
        ],
        "predicateType": SLSA,
        "predicate": {
            "buildDefinition": {
                "buildType": _BUILD_TYPE,
                "externalParameters": {
                    "image": bill.image,
                    "kind": bill.kind,
                    "version": bill.version,
                    "architecture": bill.architecture,
                    "profile": bill.profile,
                },
                "internalParameters": {"lockTime": moment(bill.epoch)},
                "resolvedDependencies": list(_inputs(bill)),
            },
            "runDetails": {"builder": {"id": f"{_BUILDER}:{bill.distribution.id}"}},
        },
    }


def _inputs(bill: Bill) -> Iterator[JSON]:
    for name, digest in (("definition", bill.definition), ("lock", bill.lock), ("tools", bill.tools)):
        yield {"name": name, "digest": {"sha256": digest}}
    for suite in bill.suites:
        yield {
            "name": f"{suite.archive}/{suite.suite}",
            "digest": {"sha256": suite.release_sha256},
            "annotations": {"date": suite.date},
        }
    for one in bill.packages:
        yield {"name": one.name, "uri": binary_purl(bill, one), "digest": {"sha256": one.sha256}}


def envelope(value: Mapping[str, JSON], signer: Signer, *, key: str) -> bytes:
    """A statement, signed. `key` is the fingerprint of the signer's key: a hint for who looks for it."""
    payload = canonical_json(value)
    signature = signer.sign_bytes(_signed(PAYLOAD_TYPE, payload)).decode("ascii").strip()
    said: Mapping[str, JSON] = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode("ascii"),
        "signatures": [{"keyid": key, "sig": signature}],
    }
    return canonical_json(said) + b"\n"


def opened(data: bytes, public_key: ec.EllipticCurvePublicKey) -> Mapping[str, Any]:
    """The statement in an envelope that this key signed. Raises IntegrityError for one that it did not, or another
    thing.
    """
    try:
        said = json.loads(data)
        kind, payload = said["payloadType"], base64.b64decode(said["payload"], validate=True)
        signatures = [str(one["sig"]).encode() for one in said["signatures"]]
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error) as error:
        raise IntegrityError("it is no signed statement (DSSE)", details=str(error)) from error
    if kind != PAYLOAD_TYPE:
        raise IntegrityError(f"it is a statement of another kind: {str(kind)[:80]}")
    if not any(signature_holds(public_key, _signed(kind, payload), one) for one in signatures):
        raise IntegrityError("no signature of it was made by the release key")
    try:
        value = json.loads(payload)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise IntegrityError("the statement is not an object of JSON")
    return value


def _signed(kind: str, payload: bytes) -> bytes:
    """The pre-authentication encoding of DSSE v1: what is signed."""
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind.encode(), len(payload), payload)
