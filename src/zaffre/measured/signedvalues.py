# SPDX-License-Identifier: Apache-2.0
"""`.pcrsig` of a kernel image: values of PCR 11 for which the owner's PCR key lets a TPM give a key.

Whoever boots such an image gets the key of `/var`, so what it carries has to be exactly what it should: signed by that
key, over the value that this very image leaves in the one phase in which the key is wanted, and over no other. Of a
later phase, everything that runs on the host would get it.

Sources: systemd-measure(1) for the form, "Trusted Platform Module Library, part 3" (TCG), 23.7, for TPM2_PolicyPCR.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from pydantic import BaseModel, ConfigDict, ValidationError

from zaffre.digest import sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.measured.prediction import KERNEL_REGISTER, KEY_PHASE, SIGNED_VALUES, after_phases, kernel_register
from zaffre.pe import sections

_KEY = ".pcrpkey"
_POLICY_PCR: Final = 0x17F
_SHA256: Final = 0x000B


class _Value(BaseModel):
    """`pkfp` is the SHA-256 of the key's PKCS #1 form, `pol` the digest of the policy, `sig` made over that."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    pcrs: tuple[int, ...]
    pkfp: str
    pol: str
    sig: str


class _Values(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    sha256: tuple[_Value, ...]


def has_signed_values(kernel_image: Path) -> bool:
    """Whether it carries any. What is no kernel image has none. Raises OSError."""
    try:
        return any(name == SIGNED_VALUES for name, _ in sections(kernel_image))
    except IntegrityError:
        return False


def wrong_values(kernel_image: Path, key: rsa.RSAPublicKey) -> str | None:
    """What keeps its signed values from being those of this image in that phase by that key; None if nothing does.

    Raises IntegrityError for an image or values that are malformed.
    """
    contents = _contents(kernel_image)
    if not _is_key(contents.get(_KEY, b""), key):
        return f"its {_KEY} is not the owner's PCR key"
    told = _read(contents[SIGNED_VALUES])
    if len(told) != 1:
        return f"it has {len(told)} signed values, not one"
    value, wanted = told[0], policy_of(after_phases(kernel_register(kernel_image), [KEY_PHASE]))
    if value.pcrs != (KERNEL_REGISTER,):
        return f"a value is of the PCRs {', '.join(map(str, value.pcrs))}, not of {KERNEL_REGISTER}"
    if value.pol != wanted.hex():
        return f"a value is not what it leaves in PCR {KERNEL_REGISTER} in the phase {KEY_PHASE}"
    if value.pkfp != sha256_bytes(key.public_bytes(Encoding.DER, PublicFormat.PKCS1)):
        return "a value names another key than the owner's PCR key"
    return None if _holds(key, value.sig, wanted) else "a value is not signed by the owner's PCR key"


def policy_of(register: str) -> bytes:
    """The digest of a TPM's policy by which PCR 11 of the SHA-256 bank has that value."""
    chosen = struct.pack(">IHB3s", 1, _SHA256, 3, (1 << KERNEL_REGISTER).to_bytes(3, "little"))
    found = hashlib.sha256(bytes.fromhex(register)).digest()
    return hashlib.sha256(bytes(32) + struct.pack(">I", _POLICY_PCR) + chosen + found).digest()


def _contents(kernel_image: Path) -> dict[str, bytes]:
    """Which of several the stub would take is not for us to guess."""
    found: dict[str, bytes] = {}
    for name, content in sections(kernel_image):
        if name in {_KEY, SIGNED_VALUES} and name in found:
            raise IntegrityError(f"there are several sections {name}", where=str(kernel_image))
        found[name] = content
    return found


def _read(data: bytes) -> tuple[_Value, ...]:
    try:
        return _Values.model_validate_json(data.rstrip(b"\0")).sha256
    except ValidationError as error:
        brief = f"{SIGNED_VALUES} does not have the form of signed values of the SHA-256 bank"
        raise IntegrityError(brief, details=str(error)) from error


def _is_key(data: bytes, key: rsa.RSAPublicKey) -> bool:
    try:
        found = load_pem_public_key(data.rstrip(b"\0"))
    except ValueError:
        return False
    return isinstance(found, rsa.RSAPublicKey) and found.public_numbers() == key.public_numbers()


def _holds(key: rsa.RSAPublicKey, signature: str, policy: bytes) -> bool:
    try:
        key.verify(base64.b64decode(signature, validate=True), policy, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error):
        return False
    return True
