# SPDX-License-Identifier: Apache-2.0
"""Read the sections of a PE file, for what a unified kernel image carries.

Sources of the formats: Microsoft's PE/COFF specification (headers), the UAPI group's specification of
unified kernel images (`.cmdline` and its like). Only headers and plain sections are read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from zaffre.errors import IntegrityError

_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_MAX_SECTIONS = 96  # the limit of Windows' loader
_MAX_TEXT = 1024 * 1024


def text_sections(path: Path, name: str) -> tuple[str, ...]:
    """The content of every section `name` (a UKI with profiles has several), without trailing zeros and newlines.

    Raises IntegrityError if the file is not a sound PE file or such a section is not text of at most 1 MiB.
    """
    try:
        return tuple(_read(path, name.encode()))
    except (struct.error, UnicodeDecodeError) as error:
        raise IntegrityError("the file is not a sound PE file", where=str(path), details=str(error)) from error


def _read(path: Path, name: bytes) -> Iterator[str]:
    with path.open("rb") as file:
        start = file.read(64)
        if start[:2] != b"MZ":
            raise IntegrityError("the file is not a PE file", where=str(path))
        (header_at,) = struct.unpack_from("<I", start, 60)
        file.seek(header_at)
        magic, _, count, _, _, _, optional_size, _ = _COFF.unpack(file.read(_COFF.size))
        if magic != b"PE\0\0" or count > _MAX_SECTIONS:
            raise IntegrityError("the file is not a PE file", where=str(path))
        file.seek(optional_size, 1)
        headers = [_SECTION.unpack(file.read(_SECTION.size)) for _ in range(count)]
        for title, virtual_size, _, raw_size, raw_at, *_ in headers:
            if title.rstrip(b"\0") != name:
                continue
            size = min(virtual_size, raw_size)
            if size > _MAX_TEXT:
                raise IntegrityError(f"section {name.decode()} is too large", where=str(path))
            file.seek(raw_at)
            yield file.read(size).decode("utf-8").rstrip("\0\n")
