# SPDX-License-Identifier: Apache-2.0
"""What of a file is in another one, wherever it lies there.

Both files are cut where their content says so, at certain pairs of bytes; so the same content is cut the same way at
any place. A piece of the target that is a piece of the source is a match, and is extended as far as both are the same.
This finds what a rolling hash finds, at the speed of Python's `re`, but for matches of a few dozen bytes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from mmap import mmap
from typing import Final, NamedTuple

_CUT: Final = re.compile(rb"[\x00-\x1f][\x80-\x9f]", re.DOTALL)
"""One pair of bytes of 64."""
LEAST: Final = 32
"""Bytes of a piece."""
_MOST_PIECES: Final = 2_000_000
"""Of the source: they are held in memory, at about 100 bytes each. Larger files are cut into larger ones."""
_STRIDE: Final = 1 << 20


Content = bytes | mmap
"""Bytes, or a file mapped into memory."""


class Piece(NamedTuple):
    """`length` bytes of the target from `at` on, which are in the source at `source`; None: they are not there."""

    at: int
    length: int
    source: int | None


def pieces(source: Content, target: Content) -> Iterator[Piece]:
    """The whole target, in order."""
    least = max(LEAST, len(source) // _MOST_PIECES)
    known: dict[int, int] = {}
    for begin, end in _cuts(source, least):
        known.setdefault(hash(source[begin:end]), begin)
    done = 0
    for begin, end in _cuts(target, least):
        if begin < done:
            continue
        found = known.get(hash(target[begin:end]))
        if found is None or source[found : found + end - begin] != target[begin:end]:
            continue
        before = _same_before(source, found, target, begin, min(found, begin - done))
        after = _same_after(source, found, target, begin, min(len(source) - found, len(target) - begin))
        if begin - before > done:
            yield Piece(done, begin - before - done, None)
        yield Piece(begin - before, before + after, found - before)
        done = begin + after
    if done < len(target):
        yield Piece(done, len(target) - done, None)


def _cuts(content: Content, least: int) -> Iterator[tuple[int, int]]:
    """Beginning and end of each piece of at least `least` bytes, but for the last one."""
    begin = 0
    for pair in _CUT.finditer(content):
        if pair.end() - begin >= least:
            yield begin, pair.end()
            begin = pair.end()
    if begin < len(content):
        yield begin, len(content)


def _same_after(a: Content, i: int, b: Content, j: int, most: int) -> int:
    """How many bytes are the same from there on."""
    same, stride = 0, 64
    while same < most:
        size = min(stride, most - same)
        if a[i + same : i + same + size] == b[j + same : j + same + size]:
            same, stride = same + size, min(4 * stride, _STRIDE)
        elif size == 1:
            break
        else:
            stride, most = size // 2, same + size - 1
    return same


def _same_before(a: Content, i: int, b: Content, j: int, most: int) -> int:
    """How many bytes are the same before that."""
    same, stride = 0, 64
    while same < most:
        size = min(stride, most - same)
        if a[i - same - size : i - same] == b[j - same - size : j - same]:
            same, stride = same + size, min(4 * stride, _STRIDE)
        elif size == 1:
            break
        else:
            stride, most = size // 2, same + size - 1
    return same
