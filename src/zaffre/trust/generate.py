# SPDX-License-Identifier: Apache-2.0
"""`zaffre keys init`: make the owner's keys, once, where they can't be published by accident."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from zaffre.errors import DefinitionError
from zaffre.trust.archive import has_archive_key, make_archive_key
from zaffre.trust.files import create
from zaffre.trust.keys import Keys, PrivateKey, Role, has_key, load_keys
from zaffre.trust.worktree import enclosing_work_tree, is_ignored

LIFETIME = timedelta(days=3652)
"""Ten years. Firmware looks at no clock, so a date does not stop a machine; it stops signing with an old key."""

_RSA_BITS = 2048
_OWNER_LENGTH = 32  # a common name has at most 64 characters (RFC 5280, ub-common-name)
_COMMON_NAMES = {
    Role.PK: "Platform Key",
    Role.KEK: "Key Exchange Key",
    Role.DB: "Secure Boot Signing Key",
    Role.VERITY: "System Extension Signing Key",
}


def init_keys(directory: Path, *, owner: str, now: datetime, outside: Sequence[Path] = ()) -> Keys:
    """Make all keys in `directory`, which must not exist or be empty; all of them appear or none.

    `owner` (its first 32 characters) goes into the certificates' names. Refuses, with DefinitionError, a directory
    that holds anything, one inside a path of `outside` (the distribution's tree) and one inside a git
    work tree that does not ignore it.
    """
    target = directory.absolute().parent.resolve() / directory.name
    refuse_published(target, outside)
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise DefinitionError(
            "there is something here already, and keys are never overwritten",
            where=str(directory),
            resolution="use these keys ('zaffre keys list'), or choose another directory with --keys DIR",
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    # mkdtemp makes the directory 0700; rename replaces an empty directory and fails on any other.
    with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as scratch:
        fresh = Path(scratch) / "keys"
        fresh.mkdir(mode=0o700)
        for role in Role:
            _make(fresh, role, owner, now)
        make_archive_key(fresh, owner=owner, now=now, lifetime=LIFETIME)
        fresh.rename(target)
    return load_keys(target, now=now)


def add_keys(directory: Path, *, owner: str, now: datetime) -> None:
    """Make the keys that a directory lacks since it is older than they are: those of the repository and for PCRs.

    Raises DefinitionError when none is missing, or when there are no keys; WorldError when others can read these.
    """
    load_keys(directory, now=now)
    missing = [role for role in Role if role.may_be_missing and not has_key(directory, role)]
    if not missing or not has_archive_key(directory):
        make_archive_key(directory, owner=owner, now=now, lifetime=LIFETIME)
    for role in missing:
        _make(directory, role, owner, now)


def refuse_published(target: Path, outside: Sequence[Path]) -> None:
    """Raises DefinitionError for a place inside a path of `outside`, or in a git work tree that would take it up."""
    for place in outside:
        if target.is_relative_to(place.resolve()):
            raise DefinitionError(
                "private keys must not lie inside the distribution's own tree",
                where=str(target),
                details=f"the distribution is at {place}; what lies in it is shared",
                resolution="leave --keys away to use your own data directory, or choose a directory elsewhere",
            )
    work_tree = enclosing_work_tree(target)
    if work_tree is not None and not is_ignored(target, work_tree):
        raise DefinitionError(
            "private keys must not lie in a git work tree that would take them up",
            where=str(target),
            details=f"{work_tree} is a git work tree that does not ignore this directory",
            resolution=f"choose a directory elsewhere, or add it to {work_tree / '.gitignore'} first",
        )


def _make(directory: Path, role: Role, owner: str, now: datetime) -> None:
    key: PrivateKey
    if role.is_rsa:
        key = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    if isinstance(key, rsa.RSAPrivateKey) and role.has_certificate:
        public = _certificate(key, role, owner, now).public_bytes(Encoding.PEM)
    else:
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    create(directory / role.private_name, private, 0o600)
    create(directory / role.public_name, public, 0o644)


def _certificate(key: rsa.RSAPrivateKey, role: Role, owner: str, now: datetime) -> x509.Certificate:
    """Self-signed: each key is its own anchor, in the firmware, the kernel or systemd; none is an authority."""
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, owner[:_OWNER_LENGTH]),
            x509.NameAttribute(NameOID.COMMON_NAME, f"{owner[:_OWNER_LENGTH]} {_COMMON_NAMES[role]}"),
        ]
    )
    start = (now - timedelta(days=1)).replace(microsecond=0)  # for machines whose clock is a little behind
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if role in (Role.DB, Role.VERITY):
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(key, hashes.SHA256())
