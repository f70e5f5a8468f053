# SPDX-License-Identifier: Apache-2.0
"""OpenPGP: whose signatures count, and whether a signed text or file has one of them.

The mathematics is Sequoia's (pysequoia). It accepts a message when one signature by one of the given
certificates holds, judges a key at the time the *signature* claims, and reads the machine's own clock. A
stolen expired key could sign with an old time, so certificates, subkeys and signatures that are expired or
revoked at the caller's clock are taken away here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pysequoia import Cert, Sig, verify
from pysequoia.packet import Packet, PacketPile, SignatureType, Tag

from zaffre.errors import DefinitionError, IntegrityError

_MAX_KEYRING_BYTES = 16 * 1024 * 1024
_ARMOUR_HEAD = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_CLEARTEXT_HEAD = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE_HEAD = b"-----BEGIN PGP SIGNATURE-----"


@dataclass(frozen=True)
class Key:
    """A primary key or subkey of the keyring."""

    fingerprint: str
    owner: str
    expires: datetime | None
    revoked: bool

    def objection(self, now: datetime) -> str | None:
        """Why signatures of this key don't count at `now`; None if they do."""
        if self.revoked:
            return f"key {self.fingerprint} ({self.owner}) is revoked"
        if self.expires is not None and self.expires <= now:
            return f"key {self.fingerprint} ({self.owner}) expired on {self.expires:%Y-%m-%d}"
        return None


@dataclass(frozen=True)
class _Certificate:
    cert: Cert
    primary: Key
    keys: tuple[Key, ...]


@dataclass(frozen=True)
class Verified:
    """The text that is signed, and the primary keys (fingerprints) of the good signatures. Nothing else is trusted."""

    text: bytes
    signers: tuple[str, ...]


@dataclass(frozen=True)
class _Signed:
    """What is signed (the whole message, unless the signatures are detached) and the packets of its signatures."""

    data: bytes
    signatures: bytes
    detached: bool = False


class Keyring:
    """The certificates of one upstream."""

    def __init__(self, data: bytes, *, where: str) -> None:
        """Armoured blocks one after the other, or binary. Raises DefinitionError if nothing can be read."""
        self.where = where
        try:
            certs = [cert for block in _blocks(data) for cert in Cert.split_bytes(block)]
            self._certificates = tuple(_certificate(cert) for cert in certs)
        except Exception as error:  # pysequoia raises whatever anyhow gives it
            raise DefinitionError(
                "the keyring cannot be read",
                where=where,
                details=_first_line(error),
                resolution="put the archive's OpenPGP public keys there, armoured or binary",
            ) from error
        if not self._certificates:
            raise DefinitionError("the keyring holds no key", where=where)

    @classmethod
    def load(cls, path: Path) -> Keyring:
        try:
            if path.stat().st_size > _MAX_KEYRING_BYTES:
                raise DefinitionError("the keyring is too large to be one", where=str(path))
            return cls(path.read_bytes(), where=str(path))
        except OSError as error:
            raise DefinitionError(
                "the keyring cannot be read",
                where=str(path),
                details=error.strerror,
                resolution="name an existing file as `keyring` of the upstream",
            ) from error

    @property
    def armoured(self) -> tuple[str, ...]:
        """Each certificate by itself, for programs that take one a file."""
        return tuple(str(certificate.cert) for certificate in self._certificates)

    @property
    def keys(self) -> tuple[Key, ...]:
        return tuple(key for certificate in self._certificates for key in certificate.keys)

    def verify(self, message: bytes, *, now: datetime, where: str) -> Verified:
        """Check a cleartext-signed message: one good signature of a usable key suffices, unknown keys don't harm.

        Raises IntegrityError that says which signatures there are and why none counts.
        """
        if not message.startswith(_CLEARTEXT_HEAD):
            raise IntegrityError(
                "the file is not signed",
                where=where,
                details=f"it begins with {message[:60]!r} and not with a cleartext signature's header",
                resolution="use another mirror; an unsigned repository is never used",
            )
        return self._verified(_Signed(message, _signature_packets(message)), now=now, where=where)

    def verify_detached(self, data: bytes, signatures: bytes, *, now: datetime, where: str) -> tuple[str, ...]:
        """Check signatures (armoured or binary packets) of `data`; the primary keys of those that are good.

        One good signature of a usable key suffices. Raises IntegrityError like `verify`.
        """
        packets = tuple(bytes(packet) for packet in _packets(signatures))
        if not packets:
            raise IntegrityError(
                "the file holds no signature that can be read",
                where=where,
                resolution="use another mirror; an unsigned repository is never used",
            )
        refused: IntegrityError | None = None
        for packet in packets:
            try:
                return self._verified(_Signed(data, packet, detached=True), now=now, where=where).signers
            except IntegrityError as error:
                refused = refused or error
        raise refused or AssertionError

    def _verified(self, signed: _Signed, *, now: datetime, where: str) -> Verified:
        usable = [one for one in self._certificates if one.primary.objection(now) is None]
        issuers: list[str] = []

        def certificates_for(ids: Sequence[str]) -> list[Cert]:
            issuers.extend(str(one).lower() for one in ids)
            return [one.cert for one in usable]

        failure = ""
        try:
            signature = Sig.from_bytes(signed.signatures) if signed.detached else None
            result = verify(signed.data, certificates_for, signature=signature)
        except Exception as error:  # noqa: BLE001 - pysequoia raises whatever anyhow gives it
            failure = _first_line(error)
        else:
            stale = _expired_issuers(signed.signatures, now)
            known = {key.fingerprint: key for key in self.keys}
            good = tuple(
                signature.certificate
                for signature in result.valid_sigs
                if signature.signing_key not in stale
                and signature.signing_key in known
                and known[signature.signing_key].objection(now) is None
            )
            if good and result.bytes is not None:
                return Verified(bytes(result.bytes), good)
            issuers.extend(signature.signing_key for signature in result.valid_sigs)
        raise self._refusal(tuple(dict.fromkeys(issuers)), now=now, where=where, failure=failure, signed=signed)

    def _refusal(
        self, issuers: tuple[str, ...], *, now: datetime, where: str, failure: str, signed: _Signed
    ) -> IntegrityError:
        if not issuers:
            return IntegrityError(
                "the file holds no signature that can be read",
                where=where,
                details=failure or None,
                resolution="use another mirror; an unsigned repository is never used",
            )
        stale = _expired_issuers(signed.signatures, now)
        reasons: list[str] = []
        damaged = expired = False
        for issuer in issuers:
            key = next((key for key in self.keys if key.fingerprint.endswith(issuer)), None)
            if key is None:
                reasons.append(f"key {issuer} is not in the keyring")
            elif objection := key.objection(now) or self._primary_of(key).objection(now):
                expired = True
                reasons.append(objection)
            elif issuer in stale:
                expired = True
                reasons.append(f"the signature by {issuer} ({key.owner}) has expired")
            else:
                damaged = True
                reasons.append(f"the signature by {issuer} ({key.owner}) does not fit the text")
        if damaged:
            brief, resolution = (
                "the signature is wrong: the file was changed or damaged",
                "use another mirror; if every mirror says so, somebody is between you and the archive",
            )
        elif expired:
            brief, resolution = (
                "the only signatures are by expired or revoked keys",
                f"bring the keyring {self.where} up to date, or use a mirror that is up to date",
            )
        else:
            brief, resolution = (
                "the file is signed only by keys that are not in the keyring",
                f"if the archive has a new key, verify it and add it to {self.where}",
            )
        return IntegrityError(brief, where=where, details="\n".join(reasons), resolution=resolution)

    def _primary_of(self, key: Key) -> Key:
        return next(one.primary for one in self._certificates if key in one.keys)


def _blocks(data: bytes) -> Iterable[bytes]:
    if _ARMOUR_HEAD not in data:
        return [data]
    return [_ARMOUR_HEAD + block for block in data.split(_ARMOUR_HEAD)[1:]]


def _certificate(cert: Cert) -> _Certificate:
    names = [str(user_id) for user_id in cert.user_ids]
    owner = names[0] if names else "no name"
    primary = Key(cert.fingerprint, owner, cert.expiration, cert.is_revoked)
    keys = [primary]
    subkey: Packet | None = None
    expires: datetime | None = None
    newest = datetime.min.replace(tzinfo=UTC)
    revoked = False

    def finish() -> None:
        if subkey is not None and subkey.fingerprint:
            keys.append(Key(subkey.fingerprint, owner, expires, revoked or primary.revoked))

    # The newest binding signature decides when a subkey expires (RFC 9580, 5.2.3.13).
    for packet in PacketPile.from_bytes(bytes(cert)):
        if packet.tag == Tag.PublicSubkey:
            finish()
            subkey, expires, revoked = packet, None, False
            newest = datetime.min.replace(tzinfo=UTC)
        elif packet.tag == Tag.Signature and subkey is not None:
            created = packet.signature_created or newest
            if packet.signature_type == SignatureType.SubkeyRevocation:
                revoked = True
            elif packet.signature_type == SignatureType.SubkeyBinding and created >= newest:
                newest, period, born = created, packet.key_validity_period, subkey.key_created
                expires = born + period if born is not None and period is not None else None
    finish()
    return _Certificate(cert, primary, tuple(keys))


def _signature_packets(message: bytes) -> bytes:
    """The armoured signatures at the end of a cleartext-signed message."""
    _, head, tail = message.rpartition(_SIGNATURE_HEAD)
    return head + tail


def _packets(signatures: bytes) -> list[Packet]:
    try:
        return [packet for packet in PacketPile.from_bytes(signatures) if packet.tag == Tag.Signature]
    except Exception:  # noqa: BLE001 - what cannot be read is not counted as good by Sequoia either
        return []


def _expired_issuers(signatures: bytes, now: datetime) -> set[str]:
    """Fingerprints of keys all of whose signatures have themselves expired at `now`."""
    fresh: set[str] = set()
    stale: set[str] = set()
    for packet in _packets(signatures):
        ends = packet.signature_expiration_time
        issuer = (packet.issuer_fingerprint or packet.issuer_key_id or "").lower()
        (stale if ends is not None and ends <= now else fresh).add(issuer)
    return stale - fresh


def _first_line(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
