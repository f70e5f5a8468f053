# SPDX-License-Identifier: Apache-2.0
"""Whether a package file is what its distribution signed, and what the lock says that it is."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from zaffre.definition import Architecture, rpm_architecture
from zaffre.errors import IntegrityError
from zaffre.upstream.lock import LockedPackage, LockedSource
from zaffre.upstream.rpm.header import Header, PackageHead, Tag, read_head

if TYPE_CHECKING:
    from zaffre.upstream.keyring import Keyring

_SOURCE = re.compile(r"(?P<name>.+)-(?P<version>[^-]+-[^-]+)\.(?:no)?src\.rpm")
_SHA256 = 8  # RFC 9580, 9.5: how rpm numbers digests
_NOARCH = "noarch"
_ALL = "all"
_CHUNK = 1 << 20


def architecture_of(name: str) -> str:
    """The distribution's word for RPM's ("x86_64" -> "amd64", "noarch" -> "all"). ValueError for another one."""
    if name == _NOARCH:
        return _ALL
    for architecture in Architecture:
        if rpm_architecture(architecture) == name:
            return str(architecture)
    raise ValueError(f"packages of the architecture '{name}' are not used")


def verify_package(path: Path, package: LockedPackage, keyring: Keyring, *, now: datetime) -> None:
    """Check signature, digests and identity of a package file. Raises IntegrityError.

    The signature is that of the header, which holds the payload's digest, so all of the file is covered. Old
    signatures over header and payload together, made before rpm 4.14, do not count.
    """
    where = f"{package.name} {package.version}"
    try:
        header = _verified(path, keyring, now=now, where=where)
        said = identity(header)
    except ValueError as error:
        raise IntegrityError("the package is malformed", where=where, details=str(error)) from error
    _verify_identity(said, (package.name, package.version, package.architecture), where=where)


def verify_source(path: Path, source: LockedSource, keyring: Keyring, *, now: datetime) -> Header:
    """The same for a source package; its header. (Its architecture is that of who made it, and says nothing.)"""
    where = f"{source.name} {source.version} (source)"
    try:
        header = _verified(path, keyring, now=now, where=where, source=True)
        said = (header.text(Tag.NAME) or "", evr_of(header))
    except ValueError as error:
        raise IntegrityError("the source package is malformed", where=where, details=str(error)) from error
    _verify_identity(said, (source.name, source.version), where=where)
    return header


def _verified(path: Path, keyring: Keyring, *, now: datetime, where: str, source: bool = False) -> Header:
    """The header of a file whose signature and digests are good. ValueError for what is not a package."""
    with path.open("rb") as file:
        head = read_head(file, source=source)
        _verify_signature(head, keyring, now=now, where=where)
        _verify_digests(head, where=where)
        file.seek(head.payload)
        payload = hashlib.sha256()
        while chunk := file.read(_CHUNK):
            payload.update(chunk)
    _verify_payload(head.header, payload.hexdigest(), where=where)
    return head.header


def _verify_identity(said: tuple[str, ...], locked: tuple[str, ...], *, where: str) -> None:
    if said != locked:
        raise IntegrityError(
            "the package is another one than its repository says",
            where=where,
            details=f"it calls itself {' '.join(said)}, the lock has {' '.join(locked)}",
            resolution="tell the owner of the repository; it does not agree with itself",
        )


def _verify_signature(head: PackageHead, keyring: Keyring, *, now: datetime, where: str) -> None:
    signatures = b"".join(_signatures(head.signature))
    if not signatures:
        raise IntegrityError(
            "the package is not signed",
            where=where,
            resolution="an unsigned package is never used: name a repository that signs its packages",
        )
    try:
        keyring.verify_detached(head.header.raw, signatures, now=now, where=where)
    except IntegrityError as error:
        raise IntegrityError(
            f"the package's signature does not count: {error.brief}",
            where=where,
            details=error.details,
            resolution=f"if the project signs with a new key, verify it and add it to {keyring.where}",
        ) from error


def _signatures(header: Header) -> list[bytes]:
    """The OpenPGP packets: in rpm 6's form (base64), or in the older one for each algorithm."""
    try:
        modern = [base64.b64decode(text, validate=True) for text in header.texts(Tag.OPENPGP)]
    except binascii.Error as error:
        raise ValueError("a signature is not base64") from error
    return modern or [data for tag in (Tag.RSA_HEADER, Tag.DSA_HEADER) if (data := header.binary(tag))]


def _verify_digests(head: PackageHead, *, where: str) -> None:
    announced = head.signature.text(Tag.SHA256_HEADER)
    if announced is not None and announced.lower() != hashlib.sha256(head.header.raw).hexdigest():
        raise IntegrityError("the package's header does not have the digest that it must have", where=where)


def _verify_payload(header: Header, found: str, *, where: str) -> None:
    method = header.number(Tag.PAYLOAD_DIGEST_METHOD)
    announced = header.text(Tag.PAYLOAD_SHA256)
    if announced is None or (method is not None and method != _SHA256):
        raise IntegrityError(
            "the package has no SHA-256 of its payload, so its signature says nothing of its files",
            where=where,
            resolution="use packages made by rpm 4.14 or newer",
        )
    if announced.lower() != found:
        raise IntegrityError(
            "the package's payload does not have the digest that its signed header states",
            where=where,
            resolution="the file was changed after it was signed: use another mirror",
        )


def identity(header: Header) -> tuple[str, str, str]:
    """Name, version and architecture as the lock says them. ValueError for an architecture that is not used."""
    return header.text(Tag.NAME) or "", evr_of(header), architecture_of(header.text(Tag.ARCHITECTURE) or "")


def source_said(file: str) -> tuple[str, str] | None:
    """Name and version of a source by the name of its file, which is how a package says what it was built from."""
    match = _SOURCE.fullmatch(file)
    return (match["name"], match["version"]) if match else None


def evr_of(header: Header) -> str:
    """The version as the lock says it: [epoch:]version-release, without an epoch of 0."""
    epoch = header.number(Tag.EPOCH) or 0
    prefix = f"{epoch}:" if epoch else ""
    return f"{prefix}{header.text(Tag.VERSION) or ''}-{header.text(Tag.RELEASE) or ''}"
