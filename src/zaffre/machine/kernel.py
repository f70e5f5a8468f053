# SPDX-License-Identifier: Apache-2.0
"""The Linux kernel that a unified kernel image carries, for a start without firmware.

Sources: Microsoft's PE/COFF specification (headers), the UAPI group's specification of unified kernel
images (section `.linux`).
"""

from __future__ import annotations

import struct
from pathlib import Path

from zaffre.errors import IntegrityError

_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_MOST_SECTIONS = 96
_MOST_BYTES = 256 << 20


def kernel_of(image: Path) -> bytes | None:
    """The content of the section `.linux`; None when the file is a plain kernel. Raises IntegrityError, OSError."""
    try:
        with image.open("rb") as file:
            start = file.read(64)
            if start[:2] != b"MZ":
                raise IntegrityError("the file is neither a kernel nor a unified kernel image", where=str(image))
            file.seek(struct.unpack_from("<I", start, 60)[0])
            magic, _, count, _, _, _, optional_size, _ = _COFF.unpack(file.read(_COFF.size))
            if magic != b"PE\0\0" or count > _MOST_SECTIONS:
                raise IntegrityError("the file is not a sound PE file", where=str(image))
            file.seek(optional_size, 1)
            for title, virtual_size, _, raw_size, raw_at, *_ in [
                _SECTION.unpack(file.read(_SECTION.size)) for _ in range(count)
            ]:
                size = min(virtual_size, raw_size)
                if title.rstrip(b"\0") == b".linux" and size <= _MOST_BYTES:
                    file.seek(raw_at)
                    return file.read(size)
    except struct.error as error:
        raise IntegrityError("the file is not a sound PE file", where=str(image), details=str(error)) from error
    return None
