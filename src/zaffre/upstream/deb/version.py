# SPDX-License-Identifier: Apache-2.0
"""The order of Debian versions, as a sort key (Debian policy 5.6.12; dpkg's lib/dpkg/version.c is the oracle).

A key and not a comparison: a key is made once a version and then compared by the interpreter, which makes
choosing candidates among tens of thousands of stanzas cheap.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

_Part: TypeAlias = "tuple[tuple[tuple[int, ...], int], ...]"
VersionKey: TypeAlias = "tuple[int, _Part, _Part]"

_PAIR = re.compile(r"([^0-9]*)([0-9]*)")
_FORM = re.compile(r"(?:([0-9]+):)?([0-9A-Za-z.+~:-]*?)(?:-([0-9A-Za-z.+~]*))?\Z")
# '~' sorts before the end of a part, which sorts before letters, which sort before all else.
_END = (0,)
_TERMINATOR = (_END, 0)


def _weight(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def _part_key(text: str) -> _Part:
    pairs = [
        ((*map(_weight, letters), 0), int(digits or "0"))
        for letters, digits in _PAIR.findall(text)
        if letters or digits
    ]
    # An absent part equals "0"; any later pair begins with a non-digit, so only a lone one can be nothing.
    if pairs == [_TERMINATOR]:
        pairs = []
    return (*pairs, _TERMINATOR)


@lru_cache(maxsize=1 << 17)
def version_key(version: str) -> VersionKey:
    """Sort key of a version: equal keys mean that dpkg calls the versions equal ("1.0" and "1.0-0").

    Raises ValueError for what is not a version.
    """
    match = _FORM.match(version)
    if match is None or not match[2] or (":" in match[2] and match[1] is None):
        raise ValueError(f"{version!r} is not a Debian version")
    return int(match[1] or 0), _part_key(match[2]), _part_key(match[3] or "")


def satisfies(version: str, relation: str, wanted: str) -> bool:
    """Whether `version relation wanted` holds; relations as in Debian policy 7.1 (`<<`, `<=`, `=`, `>=`, `>>`)."""
    have, want = version_key(version), version_key(wanted)
    match relation:
        case "<<":
            return have < want
        case "<=" | "<":
            return have <= want
        case "=":
            return have == want
        case ">=" | ">":
            return have >= want
        case ">>":
            return have > want
        case _:
            raise ValueError(f"{relation!r} is not a relation between versions")
