# SPDX-License-Identifier: Apache-2.0
"""Who signs a build's manifest: callers see a protocol, never where the private key lies.

PE files and root hashes are signed elsewhere, by the field's own tools in the sandbox; those are told of
key files. Here is what signs in our own process.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from zaffre.errors import IntegrityError


class Signer(Protocol):
    """Signs short data. A key in a file and one in a token look the same to the caller."""

    def sign_bytes(self, data: bytes) -> bytes:
        """One line of base64 of a DER ECDSA signature over the data's SHA-256, the form of `cosign sign-blob`."""
        ...

    def holds(self, data: bytes, signature: bytes) -> bool:
        """Whether this signer's own key made that signature over `data`."""
        ...


@dataclass(frozen=True)
class FileSigner:
    """A `Signer` whose private key is a PEM file without a passphrase, read anew for each signature."""

    private_key: Path

    def sign_bytes(self, data: bytes) -> bytes:
        """Raises IntegrityError if the file holds another kind of key, OSError if it can't be read.

        Equal data give equal signatures (RFC 6979).
        """
        algorithm = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)
        return base64.b64encode(self._key().sign(data, algorithm)) + b"\n"

    def holds(self, data: bytes, signature: bytes) -> bool:
        """Raises as `sign_bytes` does."""
        return signature_holds(self._key().public_key(), data, signature)

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = load_pem_private_key(self.private_key.read_bytes(), password=None)
        except (ValueError, TypeError) as error:
            raise IntegrityError("the file is not a private key", where=str(self.private_key)) from error
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise IntegrityError("the key cannot sign data: it is not ECDSA", where=str(self.private_key))
        return key


def signature_holds(public_key: ec.EllipticCurvePublicKey, data: bytes, signature: bytes) -> bool:
    """Whether `signature` (base64 of DER) over `data` was made by that key. Malformed is the same as wrong."""
    try:
        public_key.verify(base64.b64decode(signature.strip(), validate=True), data, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True
