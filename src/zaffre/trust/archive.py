# SPDX-License-Identifier: Apache-2.0
"""The key of the owner's own package repository, beside the other keys: what apt on a machine trusts.

`repository.key` is an Ed25519 key (PEM, PKCS #8, mode 0600) and `repository.asc` its OpenPGP certificate, armoured. apt
wants OpenPGP; a private key in the form of all the others can move to a token one day like the others.
Folders that were made by an older Zaffre have neither: `make_archive_key` adds them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.trust.files import create, read_bounded, require_directory, require_private
from zaffre.trust.openpgp import PublicKey, make_certificate, sign_cleartext

PRIVATE_NAME = "repository.key"
PUBLIC_NAME = "repository.asc"
NAME = "repository"
"""What this key is called among the others."""
PURPOSE = "signs your own package repository"
_OWNER_LENGTH = 64


@dataclass(frozen=True)
class ArchiveCertificate:
    """The public half: `keyring` is what apt is given (binary OpenPGP), `armoured` the same as text."""

    path: Path
    keyring: bytes
    armoured: str
    owner: str
    fingerprint: str
    created: datetime
    not_after: datetime | None
    point: bytes
    """The Ed25519 key itself, 32 bytes."""

    def expired(self, now: datetime) -> bool:
        return self.not_after is not None and now >= self.not_after


@dataclass(frozen=True)
class ArchiveKey:
    """Both halves. Only `load_archive_key` makes one, so its promises hold."""

    certificate: ArchiveCertificate
    private_path: Path

    def sign(self, text: bytes, *, time: datetime) -> bytes:
        """`text` signed in cleartext, as a repository's InRelease is. Equal arguments give equal bytes.

        The signature says that it was made at `time`, but no earlier than the key: apt would not believe that.
        Raises ValueError for a text that is not of plain lines.
        """
        key = _private(self.private_path)
        public = PublicKey(key.public_key(), self.certificate.created)
        return sign_cleartext(key, public, text, time=max(time, self.certificate.created))


def load_archive_certificate(directory: Path) -> ArchiveCertificate:
    """Read the public half. Raises DefinitionError for a missing one, IntegrityError for another thing."""
    require_directory(directory)
    path = directory / PUBLIC_NAME
    if not path.is_file():
        raise _missing(path)
    return _certificate(path)


def load_archive_key(directory: Path, *, now: datetime) -> ArchiveKey:
    """Read and check both halves.

    Raises DefinitionError (missing), WorldError (open to others, expired) or IntegrityError (unreadable, mismatched).
    """
    certificate = load_archive_certificate(directory)
    require_private(directory, wanted=0o700)
    path = directory / PRIVATE_NAME
    if not path.is_file():
        raise _missing(path)
    require_private(path, wanted=0o600)
    if _raw(_private(path).public_key()) != certificate.point:
        raise IntegrityError(
            f"the private key does not belong to {PUBLIC_NAME}",
            where=str(path),
            resolution="restore both files from the same backup",
        )
    if certificate.expired(now):
        raise WorldError(
            f"the key expired on {certificate.not_after:%Y-%m-%d}",
            where=str(certificate.path),
            resolution="make new keys with 'zaffre keys init --keys DIR', and bring their certificate to the machines",
        )
    return ArchiveKey(certificate, path)


def has_archive_key(directory: Path) -> bool:
    """Whether there is anything of it."""
    return any(os.path.lexists(directory / name) for name in (PRIVATE_NAME, PUBLIC_NAME))


def make_archive_key(directory: Path, *, owner: str, now: datetime, lifetime: timedelta) -> None:
    """Make both halves in an existing directory of keys. `owner` goes into the certificate.

    Raises DefinitionError when one is there already: keys are never overwritten.
    """
    require_directory(directory)
    if has_archive_key(directory):
        raise DefinitionError(
            "the repository key is there already, and keys are never overwritten",
            where=str(directory),
            resolution="use it ('zaffre keys show repository'), or restore the half that is missing from your backup",
        )
    key = Ed25519PrivateKey.generate()
    start = (now - timedelta(days=1)).replace(microsecond=0)  # for machines whose clock is a little behind
    user = f"{owner[:_OWNER_LENGTH]} Repository Signing Key"
    certificate = make_certificate(key, user, created=start, lifetime=lifetime)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    create(directory / PRIVATE_NAME, private, 0o600)
    create(directory / PUBLIC_NAME, _armoured(certificate).encode(), 0o644)


def _missing(path: Path) -> DefinitionError:
    return DefinitionError(
        f"the repository key is missing ({PURPOSE})",
        where=str(path),
        resolution="if these keys are older than zaffre's repositories, 'zaffre keys add' makes it; else restore the "
        "file from your backup",
    )


def _private(path: Path) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(read_bounded(path), password=None)
    except (ValueError, TypeError) as error:
        raise IntegrityError(
            "the file is not a private key in PEM form without a passphrase", where=str(path), details=str(error)
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise IntegrityError("the repository key must be Ed25519", where=str(path))
    return key


def _raw(key: Ed25519PublicKey) -> bytes:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def _armoured(certificate: bytes) -> str:
    from pysequoia import Cert  # noqa: PLC0415 - most commands need no OpenPGP

    return str(Cert.from_bytes(certificate))


def _certificate(path: Path) -> ArchiveCertificate:
    from pysequoia import Cert  # noqa: PLC0415 - likewise
    from pysequoia.packet import PacketPile, Tag  # noqa: PLC0415

    try:
        found = Cert.from_bytes(read_bounded(path))
        packets = list(PacketPile.from_bytes(bytes(found)))
        created, point = packets[0].key_created, bytes(packets[0].body)[-32:]
        public = PublicKey(Ed25519PublicKey.from_public_bytes(point), created)
        # One key and no more: what it signs with is what machines trust.
        kinds = [packet.tag for packet in packets]
        known = kinds == [Tag.PublicKey, Tag.UserID, Tag.Signature] and public.body == packets[0].body
    except Exception as error:  # pysequoia raises whatever anyhow gives it
        raise IntegrityError(
            "the file is not an OpenPGP certificate", where=str(path), details=str(error).split("\n", 1)[0]
        ) from error
    if not known or found.is_revoked:
        raise IntegrityError(
            "the certificate is revoked" if known else "the certificate is not one that Zaffre has made",
            where=str(path),
            resolution="restore the file from your backup",
        )
    return ArchiveCertificate(
        path=path,
        keyring=bytes(found),
        armoured=str(found),
        owner=str(found.user_ids[0]) if found.user_ids else "",
        fingerprint=found.fingerprint,
        created=created.astimezone(UTC),
        not_after=found.expiration.astimezone(UTC) if found.expiration else None,
        point=point,
    )
