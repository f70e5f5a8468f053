# SPDX-License-Identifier: Apache-2.0
"""The outside of a .deb: an ar archive of three members, and their decompression in bounded memory.

Format: deb(5). Whoever made the file is not trusted: every number in it is checked before it is used.
"""

from __future__ import annotations

import gzip
import io
import lzma
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

import zstandard

_MAGIC = b"!<arch>\n"
_HEADER = 60
_CHUNK = 1 << 20
_MAX_DICTIONARY = 256 << 20
_MAX_ZSTD_WINDOW = 128 << 20

CONTROL_LIMIT = 64 << 20
"""Bytes that control.tar may unpack to; it is held in memory."""
DATA_RATIO = 250
DATA_SLACK = 64 << 20
"""data.tar may unpack to DATA_RATIO times its own size plus DATA_SLACK bytes. xz can reach 7000, but no real
package comes near 100: the largest of Debian, debug symbols and game data, unpack to less than 30 times."""


class BadArchiveError(ValueError):
    """The file is not a Debian package that can be used; the text says why."""


@dataclass(frozen=True)
class Part:
    """A tar archive inside a .deb: its compression ("xz", "zst", "gz" or ""), and its place in bytes."""

    compression: str
    offset: int
    size: int


def find_parts(file: BinaryIO, size: int) -> tuple[Part, Part]:
    """control.tar and data.tar of a .deb of `size` bytes. Raises BadArchiveError."""
    if file.read(len(_MAGIC)) != _MAGIC:
        raise BadArchiveError("it is not an ar archive")
    found: dict[str, Part] = {}
    first = True
    position = len(_MAGIC)
    while position < size:
        file.seek(position)
        name, length = _header(file.read(_HEADER))
        position += _HEADER
        if position + length > size:
            raise BadArchiveError(f"it ends in the middle of {name}")
        if first:
            if name != "debian-binary" or not 4 <= length <= 64 or file.read(length)[:4] != b"2.0\n":
                raise BadArchiveError("its first member is not debian-binary 2.0")
            first = False
        elif not name.startswith("_"):  # deb(5): such members are for extensions and are to be ignored
            stem, compression = _split(name)
            expected = "control.tar" if not found else "data.tar"
            if stem != expected or stem in found:
                raise BadArchiveError(f"it has the member {name} where {expected} should be")
            found[stem] = Part(compression, position, length)
            if stem == "data.tar":
                return found["control.tar"], found["data.tar"]
        position += length + (length & 1)
    raise BadArchiveError("it ends before its data.tar")


def _header(raw: bytes) -> tuple[str, int]:
    if len(raw) != _HEADER or raw[58:] != b"`\n":
        raise BadArchiveError("it is truncated, or its ar headers are damaged")
    try:
        return raw[:16].decode("ascii").strip().removesuffix("/"), int(raw[48:58].decode("ascii").strip() or "x", 10)
    except ValueError as error:
        raise BadArchiveError("its ar headers are damaged") from error


def _split(name: str) -> tuple[str, str]:
    stem, _, compression = name.partition(".tar")
    if compression not in {"", ".xz", ".zst", ".gz"}:
        raise BadArchiveError(f"the compression of {name} is not one of xz, zst, gz and none")
    return f"{stem}.tar", compression.removeprefix(".")


class _Slice(io.RawIOBase):
    """A part of a file as a file."""

    def __init__(self, file: BinaryIO, part: Part) -> None:
        file.seek(part.offset)
        self._file = file
        self._left = part.size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
        buffer[: len(data)] = data
        return len(data)


def decompressed(file: BinaryIO, part: Part, *, limit: int) -> Iterator[bytes]:
    """The uncompressed bytes of a part, in chunks of at most 1 MiB. Raises BadArchiveError, also beyond `limit`."""
    total = 0
    try:
        for chunk in _chunks(io.BufferedReader(_Slice(file, part), _CHUNK), part.compression):
            total += len(chunk)
            if total > limit:
                raise BadArchiveError(f"it unpacks to more than {limit} bytes, from {part.size}: a decompression bomb")
            yield chunk
    except (lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile, EOFError, OSError, MemoryError) as error:
        raise BadArchiveError(f"its compressed data is damaged or truncated ({error})") from error


def _chunks(source: BinaryIO, compression: str) -> Iterator[bytes]:
    match compression:
        case "xz":
            yield from _xz(source)
        case "zst":
            decompressor = zstandard.ZstdDecompressor(max_window_size=_MAX_ZSTD_WINDOW)
            yield from _until_end(decompressor.stream_reader(source, read_across_frames=True))
        case "gz":
            yield from _until_end(gzip.GzipFile(fileobj=source, mode="rb"))
        case _:
            yield from _until_end(source)


def _until_end(reader: IO[bytes] | gzip.GzipFile) -> Iterator[bytes]:
    while chunk := reader.read(_CHUNK):
        yield chunk


def _xz(source: BinaryIO) -> Iterator[bytes]:
    """lzma.open() knows no limit of memory, and a header may ask for 1.5 GiB: hence the loop over the decoder."""
    data = source.read(_CHUNK)
    while data:
        decoder = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_DICTIONARY)
        while not decoder.eof:
            if decoder.needs_input and not data and not (data := source.read(_CHUNK)):
                raise EOFError("the stream ends too early")
            chunk = decoder.decompress(data, _CHUNK)
            data = b""
            if chunk:
                yield chunk
        data = (decoder.unused_data or source.read(_CHUNK)).lstrip(b"\0")  # stream padding
