# SPDX-License-Identifier: Apache-2.0
"""The order of versions: that of the UAPI group's Version Format Specification (UAPI.10), which systemd-sysupdate(8)
and boot loaders follow too. What is newer here must be newer there.
"""

from __future__ import annotations

import re
from functools import cmp_to_key
from typing import Final

FORM: Final = r"[0-9A-Za-z][0-9A-Za-z.~^-]{0,63}"
"""What a version may look like: it is part of file names, paths and partition labels."""

_SEPARATORS = "~-^."
_IGNORED = re.compile(r"[^0-9A-Za-z.~^-]+")
_DIGITS = re.compile(r"[0-9]*")
_LETTERS = re.compile(r"[A-Za-z]*")


def compare_versions(one: str, other: str) -> int:
    """-1, 0 or 1, as `systemd-analyze compare-versions` says it."""
    a, b = _IGNORED.sub("", one), _IGNORED.sub("", other)
    while True:
        if (a[:1] == "~") != (b[:1] == "~"):
            return -1 if a[:1] == "~" else 1
        if a[:1] == "~":
            a, b = a[1:], b[1:]
        if not a or not b:
            return (a > b) - (a < b)
        for separator in _SEPARATORS[1:]:
            if (a[:1] == separator) != (b[:1] == separator):
                return -1 if a[:1] == separator else 1
            if a[:1] == separator:
                a, b = a[1:], b[1:]
        pattern = _DIGITS if a[:1].isdigit() or b[:1].isdigit() else _LETTERS
        first, second = _head(pattern, a), _head(pattern, b)
        order = _numbers(first, second) if pattern is _DIGITS else _words(first, second)
        if order:
            return order
        a, b = a[len(first) :], b[len(second) :]


def _head(pattern: re.Pattern[str], text: str) -> str:
    found = pattern.match(text)
    return found[0] if found else ""


def _numbers(one: str, other: str) -> int:
    """A number is more than none; then by value."""
    if bool(one) != bool(other):
        return 1 if one else -1
    a, b = one.lstrip("0"), other.lstrip("0")
    left, right = (len(a), a), (len(b), b)
    return (left > right) - (left < right)


def _words(one: str, other: str) -> int:
    """By the letters' code, capitals first; of two that begin alike, the longer one is more."""
    return (one > other) - (one < other)


version_key = cmp_to_key(compare_versions)
"""A key to sort and compare versions by."""
