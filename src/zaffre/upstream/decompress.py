# SPDX-License-Identifier: Apache-2.0
"""Decompression of indexes with a limit to what comes out and to the memory it takes."""

from __future__ import annotations

import hashlib
import lzma
import zlib
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

import zstandard

from zaffre.digest import Sha256
from zaffre.store import disk_full_guard

_CHUNK = 1 << 20
_MEMORY = 256 << 20
_GZIP = 31  # zlib's window bits for a gzip header
_MOST_MEMBERS = 1000


def decompress(packed: Path, suffix: str, target: Path, *, limit: int) -> Sha256:
    """Decompress into `target`, at most `limit` bytes; the digest of what came out.

    Raises ValueError when there is more, or when the input is not of that form.
    """
    digest = hashlib.sha256()
    total = 0
    with disk_full_guard(target), target.open("wb") as out, packed.open("rb") as file:
        try:
            for chunk in _chunks(file, suffix):
                total += len(chunk)
                if total > limit:
                    raise ValueError(f"it unpacks to more than the {limit} bytes that are announced")
                digest.update(chunk)
                out.write(chunk)
        except (lzma.LZMAError, zlib.error, zstandard.ZstdError, EOFError) as error:
            raise ValueError(f"it is not {suffix.removeprefix('.')} data, or damaged: {error}") from error
    return Sha256(digest.hexdigest())


def _chunks(file: BinaryIO, suffix: str) -> Iterator[bytes]:
    """Chunks of at most _CHUNK bytes, so that a bomb is seen before it has gone off.

    Members one after the other are one content (gzip(1), xz(1)); anything else behind one is damage.
    """
    if suffix == ".zst":
        reader = zstandard.ZstdDecompressor(max_window_size=_MEMORY).stream_reader(file, read_across_frames=True)
        while chunk := reader.read(_CHUNK):
            yield chunk
        return
    member = _xz_member if suffix == ".xz" else _gz_member
    rest = _more(file)
    for _ in range(_MOST_MEMBERS):
        rest = (yield from member(file, rest)) or file.read(_CHUNK)
        if not rest:
            return
    raise ValueError(f"it has more than {_MOST_MEMBERS} members")


def _xz_member(file: BinaryIO, data: bytes) -> Generator[bytes, None, bytes]:
    """The content of one member that begins with `data`; returns what was read behind it."""
    xz = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MEMORY)
    yield xz.decompress(data, _CHUNK)
    while not xz.eof:
        yield xz.decompress(_more(file) if xz.needs_input else b"", _CHUNK)
    return xz.unused_data


def _gz_member(file: BinaryIO, data: bytes) -> Generator[bytes, None, bytes]:
    gz = zlib.decompressobj(_GZIP)
    yield gz.decompress(data, _CHUNK)
    while not gz.eof:
        yield gz.decompress(gz.unconsumed_tail or _more(file), _CHUNK)
    return gz.unused_data


def _more(file: BinaryIO) -> bytes:
    if data := file.read(_CHUNK):
        return data
    raise EOFError("it ends too early")
