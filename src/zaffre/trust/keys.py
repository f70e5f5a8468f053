# SPDX-License-Identifier: Apache-2.0
"""The owner's keys: which there are, where they lie, and whether they can be used.

A directory of keys holds, for each `Role`, a private key (PEM, PKCS #8, mode 0600) and its public half:
an X.509 certificate, or for the release key, which only signs files, and the PCR key, a bare public key. A directory
that was made before there were PCR keys has none. The directory itself is 0700. `load_certificates` needs the public
halves only, so a build can be verified where no private key ever was; `load_keys` needs both and holds them against
each other.

Secure Boot's keys (PK, KEK, db) are RSA-2048 since that is firmware's least common denominator: the UEFI
specification (2.10, 32.4.1) names it for signature databases, while RSA-4096 and ECDSA are optional and
missing from much firmware that is in use. The release key is ECDSA P-256, the kind that `cosign verify-blob`
and `openssl dgst` both check. The PCR key is RSA-2048: systemd-measure(1) signs with RSA alone, and a TPM need not know
longer keys (TCG PC Client Platform TPM Profile).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from zaffre.digest import Sha256, sha256_bytes
from zaffre.errors import DefinitionError, IntegrityError, WorldError, ZaffreError
from zaffre.trust.files import read_bounded, require_directory, require_private
from zaffre.trust.papers import PaperWriter
from zaffre.trust.signer import FileSigner, Signer

EXPIRY_WARNING = timedelta(days=180)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


class Role(StrEnum):
    """What a key is for; the value is the stem of its file names."""

    PK = "PK"
    KEK = "KEK"
    DB = "db"
    VERITY = "verity"
    RELEASE = "release"
    PCR = "pcr"

    @property
    def purpose(self) -> str:
        return _PURPOSES[self]

    @property
    def has_certificate(self) -> bool:
        return self not in {Role.RELEASE, Role.PCR}

    @property
    def is_rsa(self) -> bool:
        return self is not Role.RELEASE

    @property
    def may_be_missing(self) -> bool:
        """Whether there are sets of keys that are older than it."""
        return self is Role.PCR

    @property
    def private_name(self) -> str:
        return f"{self.value}.key"

    @property
    def public_name(self) -> str:
        return f"{self.value}.{'crt' if self.has_certificate else 'pub'}"


_PURPOSES: Mapping[Role, str] = {
    Role.PK: "platform key: owns a machine's Secure Boot settings",
    Role.KEK: "key exchange key: may change a machine's db",
    Role.DB: "signs boot loaders and kernel images, and what a host with IPE executes",
    Role.VERITY: "signs the root hash of system extensions",
    Role.RELEASE: "signs manifests of builds",
    Role.PCR: "signs what a TPM is to find measured before it gives the key of /var",
}


@dataclass(frozen=True)
class PublicHalf:
    """A role's certificate or public key, parsed. `fingerprint` is over the DER form, as `openssl` prints it."""

    role: Role
    path: Path
    public_key: PublicKey
    certificate: x509.Certificate | None
    fingerprint: Sha256

    @property
    def not_after(self) -> datetime | None:
        """When the certificate ends (UTC); None for a bare public key, which has no date."""
        return self.certificate.not_valid_after_utc if self.certificate else None

    def expired(self, now: datetime) -> bool:
        return self.not_after is not None and now >= self.not_after


@dataclass(frozen=True)
class Certificates:
    """The public halves of the roles that there are: what verification needs, and what may be given away."""

    directory: Path
    halves: Mapping[Role, PublicHalf]

    def __getitem__(self, role: Role) -> PublicHalf:
        """Raises DefinitionError for one that is missing, since the others are older."""
        if role not in self.halves:
            raise _missing(self.directory / role.public_name, role)
        return self.halves[role]


@dataclass(frozen=True)
class Keys:
    """All keys, private halves included. Only `load_keys` makes one, so its promises hold."""

    certificates: Certificates

    @property
    def directory(self) -> Path:
        return self.certificates.directory

    def has(self, role: Role) -> bool:
        return role in self.certificates.halves

    def private_path(self, role: Role) -> Path:
        return self.directory / role.private_name

    def public_path(self, role: Role) -> Path:
        return self.certificates[role].path

    def release_signer(self) -> Signer:
        return FileSigner(self.private_path(Role.RELEASE))

    def papers(self) -> PaperWriter:
        """Who writes the papers of builds, signed by the release key."""
        return PaperWriter(self.release_signer(), self.certificates[Role.RELEASE].fingerprint)


def load_certificates(directory: Path) -> Certificates:
    """Read the public halves. Raises DefinitionError for a missing directory or file, IntegrityError for an odd one."""
    require_directory(directory)
    roles = [role for role in Role if not role.may_be_missing or has_key(directory, role)]
    return Certificates(directory, {role: _load_public(directory / role.public_name, role) for role in roles})


def has_key(directory: Path, role: Role) -> bool:
    """Whether there is anything of it."""
    return any(os.path.lexists(directory / name) for name in (role.private_name, role.public_name))


def load_keys(directory: Path, *, now: datetime) -> Keys:
    """Read and check all keys.

    Guarantees: the directory is closed to others, each private key too, each matches its public half and no
    certificate has expired at `now`. Raises DefinitionError (missing), WorldError (permissions, expired) or
    IntegrityError (unreadable or mismatched).
    """
    require_directory(directory)
    require_private(directory, wanted=0o700)
    certificates = load_certificates(directory)
    for role in certificates.halves:
        path = directory / role.private_name
        if not path.is_file():
            raise _missing(path, role)
        require_private(path, wanted=0o600)
        _require_pair(path, certificates[role])
        _require_current(certificates[role], now)
    return Keys(certificates)


def fingerprint_of(public: x509.Certificate | PublicKey) -> Sha256:
    """SHA-256 of the DER form of a certificate, or of a bare key's SubjectPublicKeyInfo."""
    if isinstance(public, x509.Certificate):
        return sha256_bytes(public.public_bytes(Encoding.DER))
    return sha256_bytes(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


def _missing(path: Path, role: Role) -> ZaffreError:
    return DefinitionError(
        f"the {role.value} key is missing ({role.purpose})",
        where=str(path),
        resolution="if your keys are older than it, 'zaffre keys add' makes it; else restore the file from your backup"
        if role.may_be_missing
        else "restore the file from your backup, or make new keys elsewhere with 'zaffre keys init --keys DIR'",
    )


def _load_public(path: Path, role: Role) -> PublicHalf:
    if not path.is_file():
        raise _missing(path, role)
    data = read_bounded(path)
    try:
        if role.has_certificate:
            certificate = x509.load_pem_x509_certificate(data)
            key = certificate.public_key()
            if isinstance(key, rsa.RSAPublicKey):
                return PublicHalf(role, path, key, certificate, fingerprint_of(certificate))
        else:
            bare = load_pem_public_key(data)
            if role.is_rsa and isinstance(bare, rsa.RSAPublicKey):
                return PublicHalf(role, path, bare, None, fingerprint_of(bare))
            if not role.is_rsa and isinstance(bare, ec.EllipticCurvePublicKey) and isinstance(bare.curve, ec.SECP256R1):
                return PublicHalf(role, path, bare, None, fingerprint_of(bare))
    except ValueError as error:
        kind = "an X.509 certificate" if role.has_certificate else "a public key"
        raise IntegrityError(f"the file is not {kind} in PEM form", where=str(path), details=str(error)) from error
    wanted = "RSA" if role.is_rsa else "ECDSA P-256"
    raise IntegrityError(f"the {role.value} key must be {wanted}", where=str(path))


def _require_pair(path: Path, public: PublicHalf) -> None:
    try:
        # That its primes are primes was seen when it was made, and would take longer than all the rest of a build that
        # has nothing to do. What has to be seen each time is that it belongs to what machines trust.
        private = load_pem_private_key(read_bounded(path), password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError) as error:
        raise IntegrityError(
            "the file is not a private key in PEM form without a passphrase", where=str(path), details=str(error)
        ) from error
    if private.public_key() != public.public_key:
        raise IntegrityError(
            f"the private key does not belong to {public.path.name}",
            where=str(path),
            resolution="restore both files from the same backup",
        )


def _require_current(public: PublicHalf, now: datetime) -> None:
    if public.certificate is None:
        return
    if public.expired(now):
        raise WorldError(
            f"the certificate expired on {public.certificate.not_valid_after_utc:%Y-%m-%d}",
            where=str(public.path),
            resolution="make new keys with 'zaffre keys init --keys DIR' and enrol them on the machines",
        )
    if now < public.certificate.not_valid_before_utc:
        raise WorldError(
            f"the certificate is valid from {public.certificate.not_valid_before_utc:%Y-%m-%d} on,"
            f" and this machine says it is {now:%Y-%m-%d}",
            where=str(public.path),
            resolution="set this machine's clock",
        )


def default_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """`$ZAFFRE_KEYS`, else `zaffre/keys` below the user's XDG data directory."""
    if chosen := environment.get("ZAFFRE_KEYS"):
        return Path(chosen)
    base = environment.get("XDG_DATA_HOME", "")
    # The XDG specification: a value that is not absolute is ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share"
    return root / "zaffre" / "keys"
