# SPDX-License-Identifier: Apache-2.0
"""`zaffre-agent quote`: what this node's TPM says of how it booted, as a file that its owner verifies elsewhere.

Nothing here is trusted by who reads it: the TPM signs the registers with the reader's own nonce, and the log that
explains them comes to the same registers or is worth nothing.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Final

from zaffre.agent.host import Host
from zaffre.agent.tpm import MAX_NONCE, Channel, quote
from zaffre.errors import DefinitionError, WorldError

REGISTERS: Final = (4, 7, 11, 12, 13)
"""What firmware started, Secure Boot, the kernel image, and what was taken from beside it."""
LOG: Final = Path("/sys/kernel/security/tpm0/binary_bios_measurements")
_LEAST_NONCE = 8


def nonce_of(text: str) -> bytes:
    """Raises DefinitionError for what is no nonce in hexadecimal."""
    try:
        nonce = bytes.fromhex(text)
    except ValueError:
        nonce = b""
    if not _LEAST_NONCE <= len(nonce) <= MAX_NONCE:
        raise DefinitionError(
            f"the nonce must be {_LEAST_NONCE} to {MAX_NONCE} bytes in hexadecimal",
            where="--nonce",
            resolution="whoever will verify the quote chooses it anew each time: openssl rand -hex 16",
        )
    return nonce


def evidence(host: Host, tpm: Channel, nonce: bytes, *, log: Path = LOG) -> dict[str, object]:
    """The bundle, as JSON has it. Raises WorldError where the TPM or the log of the boot cannot be had."""
    try:
        events = log.read_bytes()
    except OSError as error:
        raise WorldError(
            f"the log of the boot cannot be read: {error.strerror}",
            where=str(log),
            resolution="the machine needs UEFI firmware that measures into its TPM",
        ) from error
    made = quote(tpm, nonce, REGISTERS)
    identity = host.identity()
    return {
        "format": 1,
        "product": identity.product,
        "version": identity.version,
        "attest": _text(made.attest),
        "signature": _text(made.signature),
        "key": _text(made.key),
        "log": _text(events),
    }


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()
