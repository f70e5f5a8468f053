# SPDX-License-Identifier: Apache-2.0
"""What a TPM finds measured of a kernel image, worked out without the tools that the product takes for it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from zaffre.pe import sections

# The UAPI group's specification of unified kernel images, "PCR": in this order, what there is of them.
_MEASURED = (".linux", ".osrel", ".cmdline", ".initrd", ".ucode", ".splash", ".dtb", ".uname", ".sbat", ".pcrpkey")


def pcr_11(uki: Path, phases: Sequence[str]) -> bytes:
    """The SHA-256 bank's PCR 11: name and content of each section, and then the phases of the boot."""
    contents = dict(sections(uki))
    pcr = bytes(32)
    for name in (one for one in _MEASURED if one in contents):
        pcr = _extended(_extended(pcr, name.encode() + b"\0"), contents[name])
    for phase in phases:
        pcr = _extended(pcr, phase.encode())
    return pcr


def _extended(pcr: bytes, measured: bytes) -> bytes:
    return hashlib.sha256(pcr + hashlib.sha256(measured).digest()).digest()
