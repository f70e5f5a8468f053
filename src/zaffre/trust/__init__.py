# SPDX-License-Identifier: Apache-2.0
"""Keys, signers, and holding a build against what was signed.

Keys are made by `trust.generate`, which a build does without.
"""

from __future__ import annotations

from zaffre.trust.archive import (
    ArchiveCertificate,
    ArchiveKey,
    has_archive_key,
    load_archive_certificate,
    load_archive_key,
)
from zaffre.trust.keys import (
    EXPIRY_WARNING,
    Certificates,
    Keys,
    PublicHalf,
    Role,
    default_directory,
    load_certificates,
    load_keys,
)
from zaffre.trust.signer import FileSigner, Signer, signature_holds
from zaffre.trust.verify import Check, VerifyReport, verify_build, verify_form

__all__ = [
    "EXPIRY_WARNING",
    "ArchiveCertificate",
    "ArchiveKey",
    "Certificates",
    "Check",
    "FileSigner",
    "Keys",
    "PublicHalf",
    "Role",
    "Signer",
    "VerifyReport",
    "default_directory",
    "has_archive_key",
    "load_archive_certificate",
    "load_archive_key",
    "load_certificates",
    "load_keys",
    "signature_holds",
    "verify_build",
    "verify_form",
]
