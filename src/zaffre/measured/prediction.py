# SPDX-License-Identifier: Apache-2.0
"""`attestation.json`: what a machine will measure when it boots a build, computed from the build's own files.

What is in registers that firmware fills differs from machine to machine; so the file has the digests that are measured
there, and whole values only of registers that nothing but the kernel image fills. `format` rises when a reader of the
old form could be misled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from zaffre.authenticode import Signed
from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.measured.eventlog import ZERO
from zaffre.pe import sections

ATTESTATION_NAME: Final = "attestation.json"
MAX_ATTESTATION: Final = 64 << 10
"""Bytes."""

KERNEL_REGISTER: Final = 11
BESIDE_REGISTERS: Final = (12, 13)
"""What systemd-stub(7) takes from beside the kernel image: command lines, credentials, extensions."""

_MEASURED = (
    *(".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat"),
    *(".pcrpkey", ".profile", ".dtbauto", ".hwids"),
)
"""Sections in the order in which systemd-stub measures them, whatever their order in the file is (systemd 257,
src/fundamental/uki.h). `.pcrsig` is not, as it is made of what is measured.
"""

SIGNED_VALUES: Final = ".pcrsig"
KEY_PHASE: Final = "enter-initrd"
"""The path of phases (systemd-measure(1)) at whose end a TPM gives the key of an encrypted `/var`."""
_PHASES: Final = (KEY_PHASE, "leave-initrd")
"""What systemd-pcrphase-initrd.service(8) measures besides. It is in the initrd of kernel images that carry signed
values of PCR 11, which are for a key that the TPM gives in the first of these phases alone.
"""

Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Phase = Annotated[str, StringConstraints(pattern=r"^[a-z-]{1,40}$")]


class Prediction(BaseModel):
    """`loader` and `kernel_image` are SHA-256 Authenticode digests of what firmware starts, `certificate` the SHA-256
    of the owner's certificate by which it does, `registers` values of PCRs by their numbers, as the kernel finds them.
    `phases` are words that the host measures into PCR 11 on its way, in order.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = 1
    image: str
    version: str
    architecture: str
    loader: Digest
    kernel_image: Digest
    certificate: Digest
    registers: Annotated[dict[int, Digest], Field(min_length=1, max_length=24)]
    phases: Annotated[tuple[Phase, ...], Field(max_length=10)] = ()


def predict(
    kernel_image: Path, *, loader: Path, certificate: Path, image: str, version: str, architecture: str
) -> Prediction:
    """Of signed files, and the certificate in PEM form by which firmware will find them good.

    Raises IntegrityError for a file that is no sound PE file or certificate, OSError.
    """
    return Prediction(
        image=image,
        version=version,
        architecture=architecture,
        loader=Signed(loader).digest,
        kernel_image=Signed(kernel_image).digest,
        certificate=_fingerprint(certificate),
        registers={KERNEL_REGISTER: kernel_register(kernel_image), **dict.fromkeys(BESIDE_REGISTERS, ZERO)},
        phases=_PHASES if any(name == SIGNED_VALUES for name, _ in sections(kernel_image)) else (),
    )


def after_phases(register: str, phases: Iterable[str]) -> Sha256:
    """What a PCR of that value holds when these words were measured into it, as systemd-pcrextend does it."""
    value = bytes.fromhex(register)
    for phase in phases:
        value = hashlib.sha256(value + hashlib.sha256(phase.encode()).digest()).digest()
    return Sha256(value.hex())


def kernel_register(kernel_image: Path) -> Sha256:
    """What systemd-stub leaves in PCR 11: of each section the name with its final zero, then the content.

    It is what `systemd-measure calculate` says of a boot before its first phase.
    """
    found: dict[str, bytes] = {}
    for name, content in sections(kernel_image):
        if name in _MEASURED and name in found:
            raise IntegrityError(f"there are several sections {name}", where=str(kernel_image))
        found[name] = content
    register = bytes(32)
    for name in _MEASURED:
        for measured in (f"{name}\0".encode(), found[name]) if name in found else ():
            register = hashlib.sha256(register + hashlib.sha256(measured).digest()).digest()
    return Sha256(register.hex())


def read_prediction(data: bytes, where: str) -> Prediction:
    """Raises IntegrityError for what is none."""
    try:
        return Prediction.model_validate_json(data)
    except ValidationError as error:
        brief = f"the file is no {ATTESTATION_NAME} of format 1"
        raise IntegrityError(brief, where=where, details=str(error)) from error


def write_prediction(folder: Path, prediction: Prediction) -> None:
    """Write the file into the folder of a build."""
    (folder / ATTESTATION_NAME).write_bytes(prediction.model_dump_json(indent=1).encode() + b"\n")


def _fingerprint(path: Path) -> Sha256:
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError as error:
        raise IntegrityError("the file is no certificate in PEM form", where=str(path), details=str(error)) from error
    return sha256_bytes(certificate.public_bytes(Encoding.DER))
