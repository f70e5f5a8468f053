# SPDX-License-Identifier: Apache-2.0
"""The file format of RPM packages, as far as it takes to verify one and to say what it is.

Source: rpm's own doc, `docs/manual/format_v4.md`, `format_v6.md`, `format_header.md` and `tags.md`. A file is a
lead of 96 bytes, a signature header (padded to 8 bytes), a header, and the payload. The signature header holds
signatures and digests of the header; the header holds the digest of the payload: a good signature of the header
therefore vouches for all of it. rpm's own `rpmkeys --checksig` is the tests' oracle.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from io import BytesIO
from typing import BinaryIO

_LEAD = 96
_LEAD_MAGIC = b"\xed\xab\xee\xdb"
_HEADER_MAGIC = b"\x8e\xad\xe8\x01\0\0\0\0"
# rpm's own limits (lib/header.c): HEADER_TAGS_MAX, HEADER_DATA_MAX; a signature header is smaller (rpmpkg.c).
_MOST_ENTRIES = 65535
_MOST_BYTES = 256 << 20
_MOST_SIGNATURE_ENTRIES = 1024
_MOST_SIGNATURE_BYTES = 64 << 20
_MOST_ITEMS = 16 << 20


class Tag(IntEnum):
    """The tags that are read. Those below 1000 are in the signature header."""

    DSA_HEADER = 267
    RSA_HEADER = 268
    SHA256_HEADER = 273
    OPENPGP = 278
    NAME = 1000
    VERSION = 1001
    RELEASE = 1002
    EPOCH = 1003
    BUILD_TIME = 1006
    LICENSE = 1014
    ARCHITECTURE = 1022
    OLD_FILE_NAMES = 1027
    FILE_SIZES = 1028
    FILE_MODES = 1030
    FILE_MTIMES = 1034
    FILE_LINKTOS = 1036
    FILE_FLAGS = 1037
    SOURCE_RPM = 1044
    PROVIDE_NAME = 1047
    REQUIRE_FLAGS = 1048
    REQUIRE_NAME = 1049
    REQUIRE_VERSION = 1050
    CONFLICT_FLAGS = 1053
    CONFLICT_NAME = 1054
    CONFLICT_VERSION = 1055
    CHANGELOG_TIME = 1080
    OBSOLETE_NAME = 1090
    SOURCE_PACKAGE = 1106
    PROVIDE_FLAGS = 1112
    PROVIDE_VERSION = 1113
    OBSOLETE_FLAGS = 1114
    OBSOLETE_VERSION = 1115
    DIRINDEXES = 1116
    BASENAMES = 1117
    DIRNAMES = 1118
    LONG_FILE_SIZES = 5008
    FILE_CAPS = 5010
    RECOMMEND_NAME = 5046
    RECOMMEND_VERSION = 5047
    RECOMMEND_FLAGS = 5048
    SUGGEST_NAME = 5049
    SUGGEST_VERSION = 5050
    SUGGEST_FLAGS = 5051
    SUPPLEMENT_NAME = 5052
    SUPPLEMENT_VERSION = 5053
    SUPPLEMENT_FLAGS = 5054
    ENHANCE_NAME = 5055
    ENHANCE_VERSION = 5056
    ENHANCE_FLAGS = 5057
    PAYLOAD_SHA256 = 5092
    PAYLOAD_DIGEST_METHOD = 5093


class _Type(IntEnum):
    INT16 = 3
    INT32 = 4
    INT64 = 5
    STRING = 6
    BINARY = 7
    STRING_ARRAY = 8
    I18N_STRING = 9


_NUMBERS = {_Type.INT16: ("H", 2), _Type.INT32: ("I", 4), _Type.INT64: ("Q", 8)}
# rpm's rpmtag.h. rpm reads these tags in this type only, and takes one of another for absent or for other numbers.
_ARRAYS = {
    Tag.CHANGELOG_TIME: _Type.INT32,
    **dict.fromkeys((tag for tag in Tag if tag.name.endswith("_FLAGS")), _Type.INT32),
    Tag.FILE_SIZES: _Type.INT32,
    Tag.FILE_MODES: _Type.INT16,
    Tag.FILE_MTIMES: _Type.INT32,
    Tag.DIRINDEXES: _Type.INT32,
    Tag.LONG_FILE_SIZES: _Type.INT64,
}


@dataclass(frozen=True)
class Header:
    """A header: its very bytes, which are what is signed, and its entries (type, offset, count) by tag."""

    raw: bytes
    _entries: Mapping[int, tuple[int, int, int]]
    _store: int

    def text(self, tag: Tag) -> str | None:
        """A string, or the first of several; None when the tag is absent. ValueError for another type."""
        found = self.texts(tag)
        return found[0] if found else None

    def texts(self, tag: Tag) -> tuple[str, ...]:
        entry = self._entries.get(tag)
        if entry is None:
            return ()
        kind, offset, count = entry
        if kind not in {_Type.STRING, _Type.STRING_ARRAY, _Type.I18N_STRING}:
            raise ValueError(f"tag {tag.name} is not text")
        return tuple(self._strings(offset, 1 if kind == _Type.STRING else count))

    def number(self, tag: Tag) -> int | None:
        entry = self._entries.get(tag)
        if entry is None:
            return None
        kind, offset, count = entry
        if kind != _Type.INT32 or count < 1:
            raise ValueError(f"tag {tag.name} is not a number")
        return int(struct.unpack_from(">I", self.raw, self._at(offset, 4))[0])

    def numbers(self, tag: Tag) -> tuple[int, ...]:
        """All numbers of a tag that has several; none when it is absent. ValueError for another type or width."""
        entry = self._entries.get(tag)
        if entry is None:
            return ()
        kind, offset, count = entry
        if kind != _ARRAYS[tag]:
            raise ValueError(f"tag {tag.name} is not numbers of the width that it must have")
        letter, width = _NUMBERS[_Type(kind)]
        return struct.unpack_from(f">{count}{letter}", self.raw, self._at(offset, width * count))

    def binary(self, tag: Tag) -> bytes | None:
        entry = self._entries.get(tag)
        if entry is None:
            return None
        kind, offset, count = entry
        if kind != _Type.BINARY:
            raise ValueError(f"tag {tag.name} is not binary")
        start = self._at(offset, count)
        return self.raw[start : start + count]

    def _strings(self, offset: int, count: int) -> Iterator[str]:
        for _ in range(count):
            start = self._at(offset, 1)
            end = self.raw.find(b"\0", start)
            if end < 0:
                raise ValueError("a text has no end")
            yield self.raw[start:end].decode("utf-8")
            offset = end + 1 - self._store

    def _at(self, offset: int, size: int) -> int:
        start = self._store + offset
        if offset < 0 or start + size > len(self.raw):
            raise ValueError("an entry lies outside of the header")
        return start


@dataclass(frozen=True)
class PackageHead:
    """All of a package file but its payload, which begins at `payload` (bytes from the start of the file)."""

    signature: Header
    header: Header
    payload: int


def read_head(file: BinaryIO, *, source: bool = False) -> PackageHead:
    """Read from the beginning of a package file, or one of a `source`. Raises ValueError for what is not one."""
    lead = file.read(_LEAD)
    if len(lead) < _LEAD or not lead.startswith(_LEAD_MAGIC):
        raise ValueError("it is not an RPM package")
    if lead[6:8] != (b"\0\1" if source else b"\0\0"):
        raise ValueError(
            "it is a binary package, not a source" if source else "it is a source package, not a binary one"
        )
    signature = _header(file, _MOST_SIGNATURE_ENTRIES, _MOST_SIGNATURE_BYTES)
    file.read(-len(signature.raw) % 8)
    header = _header(file, _MOST_ENTRIES, _MOST_BYTES)
    return PackageHead(signature, header, file.tell())


def stored_header(blob: bytes) -> Header:
    """A header as rpm's database keeps it: without its magic. Raises ValueError for what is not one."""
    return _header(BytesIO(_HEADER_MAGIC + blob), _MOST_ENTRIES, _MOST_BYTES)


def _header(file: BinaryIO, most_entries: int, most_bytes: int) -> Header:
    intro = file.read(16)
    if len(intro) < 16 or not intro.startswith(_HEADER_MAGIC):
        raise ValueError("a header is missing, or does not begin as one")
    count, size = struct.unpack(">II", intro[8:])
    if not 0 < count <= most_entries or size > most_bytes:
        raise ValueError(f"a header is announced with {count} entries and {size} bytes")
    rest = file.read(16 * count + size)
    if len(rest) < 16 * count + size:
        raise ValueError("it ends within a header")
    entries: dict[int, tuple[int, int, int]] = {}
    for index in range(count):
        tag, kind, offset, items = struct.unpack_from(">IIiI", rest, 16 * index)
        if items > _MOST_ITEMS or entries.setdefault(tag, (kind, offset, items)) != (kind, offset, items):
            raise ValueError(f"a header has the tag {tag} twice, or with {items} items")
    return Header(intro + rest, entries, 16 + 16 * count)
