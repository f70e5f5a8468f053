# SPDX-License-Identifier: Apache-2.0
"""What a packed delta unpacks to, byte after byte, and never more than it may (xz: Python's `lzma`)."""

from __future__ import annotations

import lzma
from typing import BinaryIO, Final

from zaffre.errors import IntegrityError

DICTIONARY: Final = 1 << 20
"""Bytes that xz looks back: deltas are made with it, and it is most of what unpacking takes."""
_MEMORY: Final = 16 << 20
"""Bytes that unpacking may take: a delta that asks for more is refused."""
_READ: Final = 64 << 10


def bad_delta(why: str) -> IntegrityError:
    return IntegrityError("the delta does not fit", details=why, resolution="the whole file does without it")


class Packed:
    """Reads what `file` unpacks to, at most `limit` bytes of it. Raises IntegrityError for what is no xz, ends early,
    or goes on.
    """

    def __init__(self, file: BinaryIO, *, limit: int) -> None:
        self._file = file
        self._left = limit
        self._unpack = lzma.LZMADecompressor(format=lzma.FORMAT_XZ, memlimit=_MEMORY)
        self._data = b""
        self._at = 0
        self.given = 0
        """Bytes that were read."""

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        parts: list[bytes] = []
        self.given += size
        while size:
            if not self._more():
                raise bad_delta("it ends before its end")
            part = self._data[self._at : self._at + size]
            self._at += len(part)
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def ended(self) -> bool:
        """Whether nothing is left. Raises IntegrityError when something follows the end of the packed data."""
        if self._more():
            return False
        if self._unpack.unused_data or self._file.read(1):
            raise bad_delta("something follows its end")
        return True

    def _more(self) -> bool:
        """Whether a byte is at hand; unpacks some if none is."""
        while self._at == len(self._data):
            if self._unpack.eof:
                return False
            packed = self._file.read(_READ) if self._unpack.needs_input else b""
            if not packed and self._unpack.needs_input:
                raise bad_delta("it is cut off")
            try:
                self._data, self._at = self._unpack.decompress(packed, _READ), 0
            except lzma.LZMAError as error:
                raise bad_delta(str(error)) from error
            self._left -= len(self._data)
            if self._left < 0:
                raise bad_delta("it unpacks to more than any delta of that file needs")
        return True
