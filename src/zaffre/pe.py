# SPDX-License-Identifier: Apache-2.0
"""Read the sections of a PE file, for what a unified kernel image carries.

Sources of the formats: Microsoft's PE/COFF specification (headers), the UAPI group's specification of
unified kernel images (`.cmdline` and its like). Only headers and plain sections are read. By hand, as it is one page
and the library for it has had no release for years. It belongs to no room: three of them look into such files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

from zaffre.errors import IntegrityError

_COFF = struct.Struct("<4sHHIIIHH")
_SECTION = struct.Struct("<8sIIIIIIHHI")
_MOST_SECTIONS = 96  # the limit of Windows' loader
_MOST_BYTES = 256 << 20
_MOST_TEXT = 1 << 20


def sections(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each section, in the file's order. A UKI with profiles has some names several times.

    Raises IntegrityError if the file is not a sound PE file or a section is too large, OSError.
    """
    try:
        with path.open("rb") as file:
            start = file.read(64)
            if start[:2] != b"MZ":
                raise IntegrityError("the file is not a PE file", where=str(path))
            file.seek(struct.unpack_from("<I", start, 60)[0])
            magic, _, count, _, _, _, optional_size, _ = _COFF.unpack(file.read(_COFF.size))
            if magic != b"PE\0\0" or count > _MOST_SECTIONS:
                raise IntegrityError("the file is not a PE file", where=str(path))
            file.seek(optional_size, 1)
            headers = [_SECTION.unpack(file.read(_SECTION.size)) for _ in range(count)]
            for title, virtual_size, _, raw_size, raw_at, *_ in headers:
                name, size = title.rstrip(b"\0").decode("ascii", "replace"), min(virtual_size, raw_size)
                if size > _MOST_BYTES:
                    raise IntegrityError(f"section {name} is too large", where=str(path))
                file.seek(raw_at)
                yield name, file.read(size)
    except struct.error as error:
        raise IntegrityError("the file is not a sound PE file", where=str(path), details=str(error)) from error


def text_sections(path: Path, name: str) -> tuple[str, ...]:
    """The content of every section `name`, without trailing zeros and newlines.

    Raises IntegrityError also where such a section is not UTF-8 text of at most 1 MiB.
    """
    texts = []
    for title, content in sections(path):
        if title != name:
            continue
        if len(content) > _MOST_TEXT:
            raise IntegrityError(f"section {name} is too large", where=str(path))
        try:
            texts.append(content.decode("utf-8").rstrip("\0\n"))
        except UnicodeDecodeError as error:
            raise IntegrityError(f"section {name} is not text", where=str(path), details=str(error)) from error
    return tuple(texts)
