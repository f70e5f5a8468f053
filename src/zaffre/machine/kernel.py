# SPDX-License-Identifier: Apache-2.0
"""The Linux kernel that a unified kernel image carries, for a start without firmware."""

from __future__ import annotations

from pathlib import Path

from zaffre.pe import sections


def kernel_of(image: Path) -> bytes | None:
    """The content of the section `.linux`; None when the file is a plain kernel. Raises IntegrityError, OSError."""
    return next((content for name, content in sections(image) if name == ".linux"), None)
