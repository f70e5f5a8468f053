# SPDX-License-Identifier: Apache-2.0
"""Keys, signers, and holding a build against what was signed."""

from __future__ import annotations

from zaffre.trust.generate import init_keys
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
from zaffre.trust.verify import Check, VerifyReport, verify_build

__all__ = [
    "EXPIRY_WARNING",
    "Certificates",
    "Check",
    "FileSigner",
    "Keys",
    "PublicHalf",
    "Role",
    "Signer",
    "VerifyReport",
    "default_directory",
    "init_keys",
    "load_certificates",
    "load_keys",
    "signature_holds",
    "verify_build",
]
