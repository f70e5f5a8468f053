# SPDX-License-Identifier: Apache-2.0
"""What a signature of a PE file is over, and whose it is.

It is the field's tools that sign and verify. Here is what tells whether two files are the same but for signatures.
Sources: Microsoft, "Windows Authenticode Portable Executable Signature Format"; PE format, "The Attribute Certificate
Table".
"""

from __future__ import annotations

import hashlib
import struct
import warnings
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs7

from zaffre.digest import Sha256
from zaffre.errors import IntegrityError

_CHECKSUM = 64  # in the optional header of either form
_DIRECTORIES = {0x10B: 96, 0x20B: 112}
_CERTIFICATES = 4  # the number of its entry in the data directories
_ALIGNED = 8
_HEADER = struct.Struct("<IHH")
_PKCS7 = 2
_MOST_BYTES = 512 << 20
_DIGEST = b"\x04\x20"  # DER: an octet string of 32 bytes


class Signed:
    """A PE file with or without signatures, in memory. Raises IntegrityError for what is no sound PE file, OSError."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise self._damaged(f"it is larger than {_MOST_BYTES} bytes")
        try:
            self._checksum, self._entry = _places(data)
            begin, size = struct.unpack_from("<II", data, self._entry)
        except (struct.error, KeyError) as error:
            raise self._damaged(str(error)) from error
        if begin + size > len(data):
            raise self._damaged("its signatures lie outside")
        self._content = memoryview(data)[: begin or len(data)]
        self._table = data[begin : begin + size] if begin else b""

    @property
    def digest(self) -> Sha256:
        """SHA-256 over all but the checksum, the signatures and where they are: equal for equal content."""
        content = self._content
        found = hashlib.sha256(content[: self._checksum])
        found.update(content[self._checksum + 4 : self._entry])
        found.update(content[self._entry + 8 :])
        found.update(bytes(-len(content) % _ALIGNED))
        return Sha256(found.hexdigest())

    @property
    def signatures(self) -> tuple[bytes, ...]:
        """Each as PKCS #7 in DER."""
        found, at = [], 0
        while at + _HEADER.size <= len(self._table):
            length, _, kind = _HEADER.unpack_from(self._table, at)
            if not _HEADER.size <= length <= len(self._table) - at:
                raise self._damaged("its table of signatures is not sound")
            if kind == _PKCS7:
                found.append(self._table[at + _HEADER.size : at + length])
            at += length + -length % _ALIGNED
        return tuple(found)

    @property
    def signers(self) -> tuple[x509.Certificate, ...]:
        """The certificates that the signatures bring. That they made them is for a tool to verify."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of padding behind the DER, which the table's alignment asks for
                return tuple(
                    one for signature in self.signatures for one in pkcs7.load_der_pkcs7_certificates(signature)
                )
        except ValueError as error:
            raise self._damaged(str(error)) from error

    def require_whole(self) -> None:
        """Raise IntegrityError if the file is signed and is no longer what was signed."""
        wanted = _DIGEST + bytes.fromhex(self.digest)
        if any(wanted not in signature for signature in self.signatures):
            raise IntegrityError(
                "the file is not what was signed: it was changed or damaged afterwards",
                where=str(self.path),
                resolution="take the image from where it came from again",
            )

    def _damaged(self, details: str) -> IntegrityError:
        return IntegrityError("the file is not a sound PE file", where=str(self.path), details=details)


def _places(data: bytes) -> tuple[int, int]:
    """Where the checksum is, and the entry that says where signatures are."""
    (header,) = struct.unpack_from("<I", data, 60)
    if data[:2] != b"MZ" or data[header : header + 4] != b"PE\0\0":
        raise KeyError("no PE header")
    optional = header + 24
    (magic,) = struct.unpack_from("<H", data, optional)
    return optional + _CHECKSUM, optional + _DIRECTORIES[magic] + 8 * _CERTIFICATES
