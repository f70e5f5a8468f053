# SPDX-License-Identifier: Apache-2.0
"""Writing a delta: VCDIFF (RFC 3284) with nothing but additions and copies out of the source, packed by xz.

`xz -dc DELTA | xdelta3 -d -s SOURCE` applies it, too.
"""

from __future__ import annotations

import lzma
import mmap
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from zaffre.delta.packed import DICTIONARY
from zaffre.delta.vcdiff import ADD, COPY, HEADER, VCD_SOURCE, integer
from zaffre.release.matching import Content, Piece, pieces

WINDOW: Final = 256 << 10
"""Bytes of the target that a window makes."""
_PRESET: Final = 6


def write_delta(source: Path, target: Path, delta: Path) -> None:
    """Write what makes `target` of `source` to `delta`. The same files give the same bytes."""
    packer = lzma.LZMACompressor(
        format=lzma.FORMAT_XZ,
        check=lzma.CHECK_CRC64,
        filters=[{"id": lzma.FILTER_LZMA2, "preset": _PRESET, "dict_size": DICTIONARY}],
    )
    with _content(source) as old, _content(target) as new, delta.open("wb") as out:
        out.write(packer.compress(HEADER))
        for window in _windows(pieces(old, new)):
            out.write(packer.compress(_window(window, new)))
        out.write(packer.flush())


@contextmanager
def _content(path: Path) -> Iterator[Content]:
    """A file in memory, as far as it is read; mmap(2) takes no empty one."""
    with path.open("rb") as file:
        if not path.stat().st_size:
            yield b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def _windows(found: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces in windows; one that lies over a border is cut there."""
    window: list[Piece] = []
    room = WINDOW
    for piece in found:
        at, length, source = piece
        while length:
            part = min(length, room)
            window.append(Piece(at, part, source))
            at, length, room = at + part, length - part, room - part
            source = None if source is None else source + part
            if not room:
                yield window
                window, room = [], WINDOW
    if window:
        yield window


def _window(window: Iterable[Piece], target: Content) -> bytes:
    """Section 4.3. Its segment of the source reaches from the first byte that is copied to the last."""
    window = list(window)
    copies = [(one.source, one.length) for one in window if one.source is not None]
    start = min((source for source, _ in copies), default=0)
    segment = max((source + length for source, length in copies), default=0) - start
    data, instructions, addresses = bytearray(), bytearray(), bytearray()
    for one in window:
        if one.source is None:
            data += target[one.at : one.at + one.length]
        else:
            addresses += integer(one.source - start)
        instructions += bytes([ADD if one.source is None else COPY]) + integer(one.length)
    parts = (data, instructions, addresses)
    length = sum(one.length for one in window)
    body = integer(length) + b"\0" + b"".join(integer(len(part)) for part in parts) + b"".join(parts)
    head = bytes([VCD_SOURCE]) + integer(segment) + integer(start) if copies else b"\0"
    return head + integer(len(body)) + body
