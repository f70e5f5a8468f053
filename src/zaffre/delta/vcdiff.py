# SPDX-License-Identifier: Apache-2.0
"""The form of VCDIFF, RFC 3284: header, windows, the default table of instructions, addresses. Pure.

Not taken: a table of instructions of one's own, a secondary compressor, windows that copy out of what was written
before them (VCD_TARGET). What xdelta3 adds of its own (a checksum, a header of the application) isn't either: its
`-S none -A -n` leaves that away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from itertools import product
from typing import Final

from zaffre.delta.packed import bad_delta

HEADER: Final = b"\xd6\xc3\xc4\x00\x00"
"""`VCD` with the high bits set, version 0, no indicator (section 4.1)."""
VCD_SOURCE: Final = 0x01
MAX_WINDOW: Final = 4 << 20
"""Bytes of one window of the target, and of each part of its instructions: what applying holds in memory."""

_NEAR: Final = 4
_SAME: Final = 3
_MODES: Final = 2 + _NEAR + _SAME
_LONGEST: Final = 9
"""Bytes of an integer: 63 bits."""


class Do(IntEnum):
    """What an instruction does (section 5.4)."""

    ADD = 1
    RUN = 2
    COPY = 3


@dataclass(frozen=True)
class Instruction:
    """`size` 0: it follows in the instructions."""

    do: Do
    size: int = 0
    mode: int = 0


def _table() -> Iterator[tuple[Instruction, ...]]:
    """The default table, in the order of section 5.6."""
    yield (Instruction(Do.RUN),)
    yield from ((Instruction(Do.ADD, size),) for size in range(18))
    for mode in range(_MODES):
        yield from ((Instruction(Do.COPY, size, mode),) for size in (0, *range(4, 19)))
    for modes, longest in ((range(6), 6), (range(6, _MODES), 4)):
        for mode, size, copied in product(modes, range(1, 5), range(4, longest + 1)):
            yield Instruction(Do.ADD, size), Instruction(Do.COPY, copied, mode)
    yield from ((Instruction(Do.COPY, 4, mode), Instruction(Do.ADD, 1)) for mode in range(_MODES))


TABLE: Final = tuple(_table())
ADD: Final = TABLE.index((Instruction(Do.ADD),))
COPY: Final = TABLE.index((Instruction(Do.COPY),))
"""The codes of an addition and of a copy by its plain address, with their sizes after them."""


def integer(value: int) -> bytes:
    """Seven bits a byte, the highest first, the high bit set in all but the last (section 2)."""
    out = [value & 0x7F]
    while value := value >> 7:
        out.append(0x80 | value & 0x7F)
    return bytes(reversed(out))


class Reader:
    """Integers and bytes out of a part of a window."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def byte(self) -> int:
        return self.bytes(1)[0]

    def bytes(self, size: int) -> bytes:
        if size > self.left:
            raise bad_delta("a part of a window is too short")
        self._at += size
        return self._data[self._at - size : self._at]

    def integer(self) -> int:
        value = 0
        for _ in range(_LONGEST):
            byte = self.byte()
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value
        raise bad_delta("a number has no end")


class Addresses:
    """The addresses of one window's copies, which may be told by earlier ones (section 5.3)."""

    def __init__(self, told: Reader) -> None:
        self._told = told
        self._near = [0] * _NEAR
        self._next = 0
        self._same = [0] * (_SAME * 256)

    def address(self, mode: int, here: int) -> int:
        """Of the next copy, which is made at `here`. Raises IntegrityError for one that is not before it."""
        if mode < 2 + _NEAR:
            value = self._told.integer()
            found = value if mode == 0 else here - value if mode == 1 else self._near[mode - 2] + value
        else:
            found = self._same[(mode - 2 - _NEAR) * 256 + self._told.byte()]
        if not 0 <= found < here:
            raise bad_delta("it copies from where nothing is yet")
        self._near[self._next] = found
        self._next = (self._next + 1) % _NEAR
        self._same[found % (_SAME * 256)] = found
        return found
