# SPDX-License-Identifier: Apache-2.0
"""Applying a delta: window by window, from a file that can be read at any place, such as a partition.

In memory are one window of the target with its instructions, and what unpacking takes: a few MB, however large the
files are.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from zaffre.delta.packed import Packed, bad_delta
from zaffre.delta.vcdiff import HEADER, MAX_WINDOW, TABLE, VCD_SOURCE, Addresses, Do, Reader

_OVERHEAD = 1 << 20


def apply_delta(
    delta: BinaryIO, source: int, source_length: int, length: int, write: Callable[[bytes], object]
) -> None:
    """Give the target, which has `length` bytes, to `write`, piece by piece. `source` is a file descriptor.

    Raises IntegrityError for a delta that does not fit: no VCDIFF, another length, places that are not there. What was
    written until then is worth nothing. OSError of the source, and whatever `write` raises, pass.
    """
    # The instructions of a window are longer than what they make only if they are made to be.
    told = Packed(delta, limit=2 * length + _OVERHEAD)
    if told.read(len(HEADER)) != HEADER:
        raise bad_delta("it is no plain VCDIFF")
    left = length
    while not told.ended():
        window = _read_window(told, source, source_length)
        left -= window.length
        if left < 0:
            raise bad_delta(f"it makes more than the {length} bytes that the file has")
        write(window.target())
    if left:
        raise bad_delta(f"it makes {length - left} of the {length} bytes that the file has")


@dataclass(frozen=True)
class _Window:
    """A window as section 4.3 has it. Its addresses begin with the segment of the source at `start`, of `segment`
    bytes; what it makes follows.
    """

    source: int
    start: int
    segment: int
    length: int
    data: bytes
    instructions: bytes
    addresses: bytes

    def target(self) -> bytes:
        made = bytearray()
        data, codes, told = Reader(self.data), Reader(self.instructions), Reader(self.addresses)
        addresses = Addresses(told)
        while codes.left:
            for one in TABLE[codes.byte()]:
                size = one.size or codes.integer()
                if len(made) + size > self.length:
                    raise bad_delta("a window makes more than it says")
                if one.do is Do.ADD:
                    made += data.bytes(size)
                elif one.do is Do.RUN:
                    made += data.bytes(1) * size
                else:
                    self._copy(made, addresses.address(one.mode, self.segment + len(made)), size)
        if len(made) != self.length or data.left or told.left:
            raise bad_delta("a window makes less than it says")
        return bytes(made)

    def _copy(self, made: bytearray, address: int, size: int) -> None:
        """From the segment, from what was made in this window, or over the border of both."""
        if address < self.segment:
            part = min(size, self.segment - address)
            made += _exactly(self.source, part, self.start + address)
            address, size = self.segment, size - part
        at = address - self.segment
        while size:
            # What it copies may be what it makes: then that is as long as what is there, and repeats.
            part = min(size, len(made) - at)
            made += made[at : at + part]
            at, size = at + part, size - part


def _read_window(told: Packed, source: int, source_length: int) -> _Window:
    indicator = told.read(1)[0]
    if indicator not in (0, VCD_SOURCE):
        raise bad_delta("a window is of a kind that is not used here")
    segment, start = (_integer(told), _integer(told)) if indicator else (0, 0)
    if start + segment > source_length:
        raise bad_delta("it copies from behind the end of the source")
    said = _integer(told)
    begin = told.given
    length = _integer(told)
    if told.read(1) != b"\0":
        raise bad_delta("a window is compressed by itself")
    sizes = [_integer(told) for _ in range(3)]
    if not 0 < length <= MAX_WINDOW or max(sizes) > MAX_WINDOW:
        raise bad_delta("a window is empty, or larger than any that is taken")
    data, instructions, addresses = (told.read(size) for size in sizes)
    if told.given - begin != said:
        raise bad_delta("a window has another length than it says")
    return _Window(source, start, segment, length, data, instructions, addresses)


def _integer(told: Packed) -> int:
    digits = bytearray()
    while not digits or digits[-1] >= 0x80:
        digits += told.read(1)
        if len(digits) > 9:
            raise bad_delta("a number has no end")
    return Reader(bytes(digits)).integer()


def _exactly(source: int, size: int, offset: int) -> bytes:
    """pread(2) until all is there."""
    parts: list[bytes] = []
    while size:
        part = os.pread(source, size, offset)
        if not part:
            raise bad_delta("the source ends before its end")
        parts.append(part)
        size, offset = size - len(part), offset + len(part)
    return b"".join(parts)
