# SPDX-License-Identifier: Apache-2.0
"""The little of OpenPGP that signing a repository takes: one certificate of one Ed25519 key, and cleartext signatures.

Sequoia, which checks all signatures (ADR 5), puts a random salt and the machine's own time into those that it makes, so
that nobody could make a repository again and get the same bytes. What is written here has neither: the same key,
text and time give the same signature. Version 4 packets with EdDSA and SHA-512, which gpgv and Sequoia of every
Debian since 12 read. Format: RFC 9580, sections 4 and 5, and 7 for cleartext; the names of algorithms and curve are
those of its sections 9.1, 9.2 and 9.5.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_EDDSA_LEGACY = 22
_SHA512 = 10
_OID = bytes.fromhex("2b06010401da470f01")  # Ed25519Legacy
_POINT = b"\x40"  # a native point, 5.5.5.5 and 11.2.1

_SIGNATURE, _PUBLIC_KEY, _USER_ID = 2, 6, 13
_TEXT, _POSITIVE_CERTIFICATION = 0x01, 0x13
_CREATED, _KEY_EXPIRATION, _ISSUER, _HASHES, _PRIMARY, _KEY_FLAGS, _FINGERPRINT = 2, 9, 16, 21, 25, 27, 33
_MAY_CERTIFY_AND_SIGN = b"\x03"
_VERSION = b"\x04"


class PublicKey:
    """The public key packet of an Ed25519 key; its time of birth belongs to its identity."""

    def __init__(self, key: Ed25519PublicKey, created: datetime) -> None:
        self.key = key
        self.created = created
        point = _POINT + key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.body = _VERSION + _time(created) + bytes([_EDDSA_LEGACY, len(_OID)]) + _OID + _mpi(point)

    @property
    def hashed(self) -> bytes:
        """How a key enters a hash (5.2.4)."""
        return b"\x99" + len(self.body).to_bytes(2, "big") + self.body

    @property
    def fingerprint(self) -> bytes:
        """5.5.4.2; SHA-1 is what version 4 names a key by, not what is signed."""
        return hashlib.sha1(self.hashed, usedforsecurity=False).digest()


def make_certificate(key: Ed25519PrivateKey, user: str, *, created: datetime, lifetime: timedelta) -> bytes:
    """The certificate, in binary form, of a key that certifies itself and signs; it has no other keys."""
    public = PublicKey(key.public_key(), created)
    name = user.encode()
    hashed = public.hashed + b"\xb4" + len(name).to_bytes(4, "big") + name
    more = (
        _subpacket(_KEY_EXPIRATION, int(lifetime.total_seconds()).to_bytes(4, "big"))
        + _subpacket(_HASHES, bytes([_SHA512]))
        + _subpacket(_PRIMARY, b"\x01")
        + _subpacket(_KEY_FLAGS, _MAY_CERTIFY_AND_SIGN)
    )
    signature = _signature(key, public, _POSITIVE_CERTIFICATION, hashed, time=created, more=more)
    return _packet(_PUBLIC_KEY, public.body) + _packet(_USER_ID, name) + signature


def sign_cleartext(key: Ed25519PrivateKey, public: PublicKey, text: bytes, *, time: datetime) -> bytes:
    """The text with a signature of `time` below it. Equal arguments give equal bytes.

    `text` is of whole lines, none of which begins with '-' or ends in white space, so that what is signed is, byte
    by byte, what is read; others raise ValueError.
    """
    from pysequoia import ArmorKind, armor  # noqa: PLC0415 - only who signs needs it

    lines = text.split(b"\n")
    if lines.pop() or any(line.startswith(b"-") or line != line.rstrip() for line in lines):
        raise ValueError("the text is not of lines that can be signed as they are")
    packet = _signature(key, public, _TEXT, b"\r\n".join(lines), time=time)
    return b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n" + text + armor(packet, ArmorKind.Signature).encode()


def _signature(
    key: Ed25519PrivateKey, public: PublicKey, kind: int, hashed: bytes, *, time: datetime, more: bytes = b""
) -> bytes:
    """A version 4 signature packet (5.2.3) over what `hashed` is, with its trailer (5.2.4)."""
    subpackets = _subpacket(_CREATED, _time(time)) + _subpacket(_FINGERPRINT, _VERSION + public.fingerprint) + more
    head = _VERSION + bytes([kind, _EDDSA_LEGACY, _SHA512]) + len(subpackets).to_bytes(2, "big") + subpackets
    digest = hashlib.sha512(hashed + head + _VERSION + b"\xff" + len(head).to_bytes(4, "big")).digest()
    signed = key.sign(digest)
    issuer = _subpacket(_ISSUER, public.fingerprint[-8:])
    tail = len(issuer).to_bytes(2, "big") + issuer + digest[:2] + _mpi(signed[:32]) + _mpi(signed[32:])
    return _packet(_SIGNATURE, head + tail)


def _packet(tag: int, body: bytes) -> bytes:
    """4.2.1; nothing here is 8,384 bytes long."""
    if len(body) < 192:
        return bytes([0xC0 | tag, len(body)]) + body
    length = len(body) - 192
    return bytes([0xC0 | tag, (length >> 8) + 192, length & 0xFF]) + body


def _subpacket(kind: int, body: bytes) -> bytes:
    """5.2.3.7; nothing here is 192 bytes long."""
    return bytes([len(body) + 1, kind]) + body


def _mpi(octets: bytes) -> bytes:
    """3.2: the number of bits, and the octets without zeros before them."""
    stripped = octets.lstrip(b"\0")
    return int.from_bytes(stripped, "big").bit_length().to_bytes(2, "big") + stripped


def _time(time: datetime) -> bytes:
    return int(time.timestamp()).to_bytes(4, "big")
