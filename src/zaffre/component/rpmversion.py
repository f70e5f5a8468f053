# SPDX-License-Identifier: Apache-2.0
"""The order of RPM versions as a sort key (rpm-version(7): runs of digits and letters, "~" and "^")."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TypeAlias

_Piece: TypeAlias = "tuple[int, int, str]"
_Part: TypeAlias = "tuple[_Piece, ...]"
RpmKey: TypeAlias = "tuple[int, _Part, _Part]"

_PIECE = re.compile(r"[0-9]+|[A-Za-z]+|[~^]")
_TILDE, _END, _CARET, _LETTERS, _DIGITS = range(5)


def _part(text: str) -> _Part:
    pieces: list[_Piece] = []
    for piece in _PIECE.findall(text):
        if piece == "~":
            pieces.append((_TILDE, 0, ""))
        elif piece == "^":
            pieces.append((_CARET, 0, ""))
        elif piece.isdigit():
            pieces.append((_DIGITS, int(piece), ""))
        else:
            pieces.append((_LETTERS, 0, piece))
    return (*pieces, (_END, 0, ""))


@lru_cache(maxsize=1 << 14)
def rpm_version_key(version: str) -> RpmKey:
    """Key of [epoch:]version[-release]. A version without a release comes before all with one."""
    epoch, _, rest = version.rpartition(":")
    number, dash, release = rest.partition("-")
    return int(epoch) if epoch.isdigit() else 0, _part(number), _part(release) if dash else ()
