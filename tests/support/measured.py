# SPDX-License-Identifier: Apache-2.0
"""A boot as firmware logs it, and a TPM that quotes what comes of it: both in memory, in the real forms."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from zaffre.digest import sha256_bytes
from zaffre.measured.eventlog import (
    ACTION,
    APPLICATION,
    AUTHORITY,
    IPL,
    NO_ACTION,
    SEPARATOR,
    VARIABLE,
    ZERO,
    read_log,
    replay,
)
from zaffre.measured.judge import JUDGED
from zaffre.measured.prediction import Prediction
from zaffre.measured.quote import Evidence

GLOBAL = bytes.fromhex("61dfe48bca93d211aa0d00e098032b8c")
SECURITY = bytes.fromhex("cbb219d73a3d9645a3bcdad00e67656f")
CERTIFICATE = b"\x30\x82 the owner's certificate"
LOADER, KERNEL_IMAGE = "1a" * 32, "2b" * 32
SECTIONS = (b".linux\0", b"the kernel", b".cmdline\0", b"roothash=77")
NONCE = bytes(range(16))


@dataclass(frozen=True)
class Measured:
    """An event: `data` is in the log, and hashed unless there is a `digest`."""

    register: int
    type: int
    data: bytes = b""
    digest: str | None = None

    @property
    def measured(self) -> str:
        return self.digest or hashlib.sha256(self.data).hexdigest()


def variable(name: str, data: bytes, *, owner: bytes = GLOBAL, kind: int = VARIABLE) -> Measured:
    """UEFI_VARIABLE_DATA."""
    text = name.encode("utf-16-le")
    return Measured(7, kind, struct.pack("<16sQQ", owner, len(name), len(data)) + text + data)


def sound(
    *, loader: str = LOADER, kernel_image: str = KERNEL_IMAGE, sections: Sequence[bytes] = SECTIONS
) -> list[Measured]:
    """A boot with Secure Boot by the owner's certificate, of a boot loader and a kernel image."""
    return [
        variable("SecureBoot", b"\x01"),
        variable("PK", b"list"),
        variable("KEK", b"list"),
        variable("db", b"list", owner=SECURITY),
        variable("dbx", b"", owner=SECURITY),
        Measured(7, SEPARATOR, bytes(4)),
        Measured(4, ACTION, b"Calling EFI Application from Boot Option"),
        Measured(4, SEPARATOR, bytes(4)),
        variable("db", bytes(16) + CERTIFICATE, owner=SECURITY, kind=AUTHORITY),
        Measured(4, APPLICATION, b"a device's path", loader),
        Measured(4, APPLICATION, b"a device's path", kernel_image),
        *(Measured(11, IPL, b"what the log says", hashlib.sha256(one).hexdigest()) for one in sections),
    ]


def log_of(events: Sequence[Measured]) -> bytes:
    """In the crypto-agile form, with SHA-1 digests beside those of SHA-256."""
    head = b"Spec ID Event03\0" + struct.pack("<IBBBBI", 0, 0, 2, 0, 2, 2)
    head += struct.pack("<HHHHB", 0x0004, 20, 0x000B, 32, 0)
    out = struct.pack("<II20sI", 0, NO_ACTION, bytes(20), len(head)) + head
    for one in events:
        out += struct.pack("<III", one.register, one.type, 2)
        out += struct.pack("<H20sH32s", 0x0004, bytes(20), 0x000B, bytes.fromhex(one.measured))
        out += struct.pack("<I", len(one.data)) + one.data
    return out


def prediction(version: str = "1.1", *, kernel_image: str = KERNEL_IMAGE, **changed: object) -> Prediction:
    """What the build says whose boot `sound` is."""
    kernel = replay(read_log(log_of(sound())))[11]
    values = {
        "image": "tiny",
        "version": version,
        "architecture": "amd64",
        "loader": LOADER,
        "kernel_image": kernel_image,
        "certificate": sha256_bytes(CERTIFICATE),
        "registers": {11: kernel, 12: ZERO, 13: ZERO},
    }
    return Prediction.model_validate({**values, **changed})


@dataclass
class Tpm:
    """It has a key, and signs like one what a log comes to."""

    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    attributes: int = 0x00050472

    @property
    def key(self) -> bytes:
        point = self.private.public_key().public_numbers()
        head = struct.pack(">HHIHHHHHH", 0x0023, 0x000B, self.attributes, 0, 0x0010, 0x0018, 0x000B, 0x0003, 0x0010)
        return head + b"".join(struct.pack(">H", 32) + one.to_bytes(32) for one in (point.x, point.y))

    def evidence(
        self,
        events: Sequence[Measured],
        *,
        nonce: bytes = NONCE,
        registers: Sequence[int] = JUDGED,
        version: str = "1.1",
    ) -> Evidence:
        log = log_of(events)
        attest = self.attest(log, nonce, registers)
        return Evidence("tiny-amd64", version, attest, self.sign(attest), self.key, log)

    def attest(self, log: bytes, nonce: bytes, registers: Sequence[int]) -> bytes:
        """TPMS_ATTEST of a quote."""
        values = replay(read_log(log))
        joined = b"".join(bytes.fromhex(values.get(number, ZERO)) for number in sorted(registers))
        bits = sum(1 << number for number in registers).to_bytes(3, "little")
        head = struct.pack(">IH", 0xFF544347, 0x8018) + struct.pack(">H", 34) + bytes(34)
        head += struct.pack(">H", len(nonce)) + nonce + bytes(25) + struct.pack(">IHB", 1, 0x000B, 3) + bits
        return head + struct.pack(">H", 32) + hashlib.sha256(joined).digest()

    def sign(self, attest: bytes) -> bytes:
        """TPMT_SIGNATURE."""
        r, s = decode_dss_signature(self.private.sign(attest, ec.ECDSA(hashes.SHA256())))
        return struct.pack(">HH", 0x0018, 0x000B) + b"".join(struct.pack(">H", 32) + one.to_bytes(32) for one in (r, s))
