# SPDX-License-Identifier: Apache-2.0
"""A bbolt file (https://github.com/etcd-io/bbolt: page.go, db.go, bucket.go), written in one go. Pure.

Pages of 4096 bytes: two of meta data, a list of free ones, which is empty, then B+ trees of leaves and branches. A
value is bytes, a bucket is a mapping; equal content gives equal bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

Bucket: TypeAlias = "Mapping[str, bytes | Bucket]"

_PAGE = 4096
_HEADER = 16
_MAGIC, _VERSION = 0xED0CDAED, 2
_BRANCH, _LEAF, _META, _FREE = 0x01, 0x02, 0x04, 0x10
_FREE_PAGE, _FIRST = 2, 3
_IS_BUCKET = 1
_FNV_OFFSET, _FNV_PRIME = 0xCBF29CE484222325, 0x100000001B3

_T = TypeVar("_T")


@dataclass(frozen=True)
class _Item:
    flags: int
    key: bytes
    value: bytes


@dataclass(frozen=True)
class _Child:
    key: bytes
    page: int


def bolt_bytes(buckets: Bucket) -> bytes:
    """The whole file."""
    pages = _Pages()
    root = pages.bucket(buckets)
    out = bytearray(pages.next * _PAGE)
    for number, content in pages.written.items():
        out[number * _PAGE : number * _PAGE + len(content)] = content
    for number in (0, 1):
        struct.pack_into("<QHHI", out, number * _PAGE, number, _META, 0, 0)
        meta = struct.pack("<IIIIQQQQQ", _MAGIC, _VERSION, _PAGE, 0, root, 0, _FREE_PAGE, pages.next, number)
        meta += struct.pack("<Q", _fnv1a(meta))
        out[number * _PAGE + _HEADER : number * _PAGE + _HEADER + len(meta)] = meta
    struct.pack_into("<QHHI", out, _FREE_PAGE * _PAGE, _FREE_PAGE, _FREE, 0, 0)
    return bytes(out)


def _fnv1a(data: bytes) -> int:
    """FNV-1a of 64 bits, the checksum of a page of meta data."""
    value = _FNV_OFFSET
    for byte in data:
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return value


@dataclass
class _Pages:
    written: dict[int, bytes] = field(default_factory=dict)
    next: int = _FIRST

    def bucket(self, content: Bucket) -> int:
        """The page at the root of a tree of that content."""
        items: list[_Item] = []
        for key, value in sorted((name.encode(), one) for name, one in content.items()):
            if isinstance(value, bytes):
                items.append(_Item(0, key, value))
            else:
                items.append(_Item(_IS_BUCKET, key, struct.pack("<QQ", self.bucket(value), 0)))
        leaves = _groups(items, lambda one: _HEADER + len(one.key) + len(one.value))
        level = [_Child(group[0].key, self._leaf(group)) for group in leaves]
        if not level:
            return self._leaf([])
        while len(level) > 1:
            branches = _groups(level, lambda one: _HEADER + len(one.key))
            level = [_Child(group[0].key, self._branch(group)) for group in branches]
        return level[0].page

    def _leaf(self, items: Sequence[_Item]) -> int:
        head, body = bytearray(), bytearray()
        for index, one in enumerate(items):
            at = _HEADER * (len(items) - index) + len(body)
            head += struct.pack("<IIII", one.flags, at, len(one.key), len(one.value))
            body += one.key + one.value
        return self._page(_LEAF, len(items), bytes(head + body))

    def _branch(self, children: Sequence[_Child]) -> int:
        head, body = bytearray(), bytearray()
        for index, one in enumerate(children):
            at = _HEADER * (len(children) - index) + len(body)
            head += struct.pack("<IIQ", at, len(one.key), one.page)
            body += one.key
        return self._page(_BRANCH, len(children), bytes(head + body))

    def _page(self, kind: int, count: int, content: bytes) -> int:
        size = -(-(_HEADER + len(content)) // _PAGE)
        number, self.next = self.next, self.next + size
        self.written[number] = struct.pack("<QHHI", number, kind, count, size - 1) + content
        return number


def _groups(items: Sequence[_T], weight: Callable[[_T], int]) -> Iterator[list[_T]]:
    """What goes on one page: as much as fits, of a branch two at least."""
    group: list[_T] = []
    size = _HEADER
    for one in items:
        if len(group) > 1 and size + weight(one) > _PAGE:
            yield group
            group, size = [], _HEADER
        group.append(one)
        size += weight(one)
    if group:
        yield group
