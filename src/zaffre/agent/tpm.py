# SPDX-License-Identifier: Apache-2.0
"""The three commands of a TPM 2.0 that a quote takes, in the TPM's own form, over the kernel's resource manager.

By hand: tpm2-tools' program needs six libraries of tpm2-tss, and libcurl with GnuTLS and LDAP behind it, on each node,
and these are three messages. Source: TCG TPM 2.0 Library, Part 2 (structures) and Part 3 (CreatePrimary, Quote,
FlushContext). The tests have swtpm answer them, and tpm2_checkquote verify what comes of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from zaffre.errors import WorldError

DEVICE: Final = Path("/dev/tpmrm0")
MAX_NONCE: Final = 32
"""Bytes: what every TPM takes as qualifying data."""

_PLAIN, _AUTHORISED = 0x8001, 0x8002
_CREATE_PRIMARY, _QUOTE, _FLUSH_CONTEXT = 0x00000131, 0x00000158, 0x00000165
_ENDORSEMENT = 0x4000000B
_NO_PASSWORD = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
"""The authorisation area: a session by password, and the empty password."""
_SHA256, _NULL = 0x000B, 0x0010
_KEY = struct.pack(">HHIH" + "HHHHH" + "HH", 0x0023, _SHA256, 0x00050472, 0, _NULL, 0x0018, _SHA256, 3, _NULL, 0, 0)
"""TPMT_PUBLIC of the attestation key: ECDSA P-256 with SHA-256, made in this TPM and bound to it (fixedTPM,
fixedParent, sensitiveDataOrigin), used without a password (userWithAuth, noDA), and signing nothing but what the TPM
itself says (restricted, sign). The same in the same TPM each time.
"""
_MOST = 4096


class Channel(Protocol):
    """How a TPM is spoken to: one command in, its answer out."""

    def send(self, command: bytes) -> bytes: ...


class Device:
    """The kernel's device. What a command left in the TPM goes when it is closed."""

    def __init__(self, path: Path = DEVICE) -> None:
        try:
            self._file = path.open("r+b", buffering=0)
        except OSError as error:
            raise WorldError(
                f"the TPM cannot be used: {error.strerror}",
                where=str(path),
                resolution="the machine needs a TPM 2.0, and its owner's rights to use it",
            ) from error

    def send(self, command: bytes) -> bytes:
        self._file.write(command)
        return self._file.read(_MOST) or b""

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class Quote:
    """In the TPM's form: TPMS_ATTEST, TPMT_SIGNATURE over it, and TPMT_PUBLIC of the key that made it."""

    attest: bytes
    signature: bytes
    key: bytes


def quote(tpm: Channel, nonce: bytes, registers: Sequence[int]) -> Quote:
    """Have the TPM sign the values of its SHA-256 registers, with its attestation key. Raises WorldError."""
    empty = struct.pack(">HHH", 4, 0, 0)
    made = _ask(tpm, _CREATE_PRIMARY, _ENDORSEMENT, empty + _sized(_KEY) + struct.pack(">HI", 0, 0), handles=1)
    (handle,) = struct.unpack_from(">I", made)
    try:
        scheme = struct.pack(">H", _NULL)
        said = _ask(tpm, _QUOTE, handle, _sized(nonce) + scheme + _selection(registers))
    finally:
        tpm.send(struct.pack(">HIII", _PLAIN, 14, _FLUSH_CONTEXT, handle))
    attest, signature = _taken(said)
    return Quote(attest, signature, _taken(made[4:])[0])


def _selection(registers: Sequence[int]) -> bytes:
    bits = sum(1 << number for number in set(registers))
    return struct.pack(">IHB", 1, _SHA256, 3) + bits.to_bytes(3, "little")


def _ask(tpm: Channel, code: int, handle: int, parameters: bytes, *, handles: int = 0) -> bytes:
    """The answer's handles and parameters."""
    body = struct.pack(">I", handle) + _NO_PASSWORD + parameters
    answer = tpm.send(struct.pack(">HII", _AUTHORISED, 10 + len(body), code) + body)
    try:
        _, size, status = struct.unpack_from(">HII", answer)
        if status:
            raise WorldError(f"the TPM refuses the command {code:#x} with {status:#x}", resolution=_LOCKED)
        begin = 10 + 4 * handles
        (length,) = struct.unpack_from(">I", answer, begin)
    except struct.error as error:
        raise WorldError("the TPM's answer is cut off") from error
    if size != len(answer) or begin + 4 + length > size:
        raise WorldError("the TPM's answer is cut off")
    return answer[10:begin] + answer[begin + 4 : begin + 4 + length]


_LOCKED = "a TPM whose endorsement hierarchy has a password cannot be asked; clear it in the firmware's settings"


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def _taken(data: bytes) -> tuple[bytes, bytes]:
    """What a size stands before, and what is behind it."""
    if len(data) < 2 or (size := int.from_bytes(data[:2])) > len(data) - 2:
        raise WorldError("the TPM's answer is cut off")
    return data[2 : 2 + size], data[2 + size :]
