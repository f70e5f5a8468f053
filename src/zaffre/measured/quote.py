# SPDX-License-Identifier: Apache-2.0
"""A quote as `zaffre-agent quote` has it from a TPM: read strictly, and verified.

The key must be of the one kind that the agent makes. A restricted key signs nothing that was brought to the TPM from
outside if it looks like a quote; a bare key, as tpm2_checkquote(1) takes it, does not tell that it is one. So the
structures are read here: two of a fixed form, and all cryptography is the library's. tpm2_checkquote is held against
this in the tests. Source: TCG TPM 2.0 Library, Part 2: TPMT_PUBLIC, TPMS_ATTEST, TPMT_SIGNATURE.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zaffre.errors import IntegrityError
from zaffre.measured.eventlog import MAX_LOG

MAX_BUNDLE: Final = 2 * MAX_LOG
"""Bytes."""

_KIND = struct.pack(">HHIHHHHHH", 0x0023, 0x000B, 0x00050472, 0, 0x0010, 0x0018, 0x000B, 0x0003, 0x0010)
"""TPMT_PUBLIC of an attestation key up to its point: see zaffre.agent.tpm."""
_SIGNATURE = struct.pack(">HH", 0x0018, 0x000B)
_QUOTE = struct.pack(">IH", 0xFF544347, 0x8018)
_SELECTION = struct.pack(">IHB", 1, 0x000B, 3)
_CLOCK_AND_FIRMWARE = 17 + 8


class Bundle(BaseModel):
    """What a node sends. `product` and `version` are what it says of itself; nothing is concluded from them."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1]
    product: str = Field(max_length=200)
    version: str = Field(max_length=64)
    attest: Annotated[str, Field(max_length=4096)]
    signature: Annotated[str, Field(max_length=4096)]
    key: Annotated[str, Field(max_length=4096)]
    log: Annotated[str, Field(max_length=MAX_BUNDLE)]


@dataclass(frozen=True)
class Evidence:
    """A bundle, decoded. `attest`, `signature` and `key` are the TPM's structures, `log` is the firmware's."""

    product: str
    version: str
    attest: bytes
    signature: bytes
    key: bytes
    log: bytes


@dataclass(frozen=True)
class Quoted:
    """What a TPM has signed: the nonce that it was given, which registers it was asked for, and SHA-256 over them."""

    nonce: bytes
    registers: tuple[int, ...]
    digest: bytes

    def covers(self, values: Mapping[int, str]) -> bool:
        """Whether it is over exactly these values of its registers."""
        try:
            joined = b"".join(bytes.fromhex(values[number]) for number in self.registers)
        except KeyError:
            return False
        return hashlib.sha256(joined).digest() == self.digest


def read_bundle(data: bytes, where: str) -> Evidence:
    """Raises IntegrityError for what is none."""
    if len(data) > MAX_BUNDLE:
        raise IntegrityError(f"the file is larger than a quote may be ({MAX_BUNDLE} bytes)", where=where)
    try:
        bundle = Bundle.model_validate_json(data)
        parts = {
            name: base64.b64decode(getattr(bundle, name), validate=True)
            for name in ("attest", "signature", "key", "log")
        }
    except (ValidationError, ValueError) as error:
        raise IntegrityError(
            "the file is no quote",
            where=where,
            details=str(error),
            resolution="it must be what 'zaffre-agent quote --nonce HEX' printed on the node",
        ) from error
    return Evidence(product=bundle.product, version=bundle.version, **parts)


def attestation_key(public: bytes) -> ec.EllipticCurvePublicKey:
    """Raises IntegrityError unless it is a restricted signing key that was made in a TPM and cannot leave it."""
    try:
        parts = _Parts(public)
        parts.expect(_KIND, "it is not a restricted ECDSA P-256 key that was made in a TPM and is bound to it")
        x, y = parts.number(), parts.number()
        parts.end()
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    except ValueError as error:
        raise IntegrityError("the attestation key is not of the kind that is asked for", details=str(error)) from error


def key_text(public: bytes) -> bytes:
    """The attestation key in PEM form, as it is pinned. Raises as `attestation_key` does."""
    return attestation_key(public).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def signed_by(evidence: Evidence) -> bool:
    """Whether the quote is signed by the key that comes with it. Raises IntegrityError for another kind of key."""
    key = attestation_key(evidence.key)
    try:
        parts = _Parts(evidence.signature)
        parts.expect(_SIGNATURE, "it is no ECDSA signature with SHA-256")
        r, s = parts.number(), parts.number()
        parts.end()
        key.verify(encode_dss_signature(r, s), evidence.attest, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def read_quote(attest: bytes) -> Quoted:
    """Raises IntegrityError for what is no quote of SHA-256 registers."""
    try:
        parts = _Parts(attest)
        parts.expect(_QUOTE, "a TPM has signed something else")
        parts.sized()
        nonce = parts.sized()
        parts.take(_CLOCK_AND_FIRMWARE)
        parts.expect(_SELECTION, "it is not of the SHA-256 registers alone")
        bits = int.from_bytes(parts.take(3), "little")
        digest = parts.sized()
        parts.end()
    except ValueError as error:
        raise IntegrityError("what the TPM signed is no quote that can be read", details=str(error)) from error
    return Quoted(nonce, tuple(number for number in range(24) if bits >> number & 1), digest)


class _Parts:
    """The parts of a structure, one after the other. Methods raise ValueError for what is not there."""

    def __init__(self, data: bytes) -> None:
        self._rest = data

    def take(self, size: int) -> bytes:
        if len(self._rest) < size:
            raise ValueError("it is cut off")
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    def expect(self, wanted: bytes, otherwise: str) -> None:
        if self.take(len(wanted)) != wanted:
            raise ValueError(otherwise)

    def sized(self) -> bytes:
        """What a size of two bytes stands before (TPM2B)."""
        return self.take(int.from_bytes(self.take(2)))

    def number(self) -> int:
        return int.from_bytes(self.sized())

    def end(self) -> None:
        if self._rest:
            raise ValueError("something stands behind it")
