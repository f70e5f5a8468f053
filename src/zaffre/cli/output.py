# SPDX-License-Identifier: Apache-2.0
"""Plain text that lines up: tables and amounts, the same on a terminal and in a log."""

from __future__ import annotations

from collections.abc import Sequence

from zaffre.errors import DefinitionError

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def table(rows: Sequence[Sequence[str]], *, headers: Sequence[str] = (), right: Sequence[int] = ()) -> str:
    """Columns two spaces apart, never cut; columns in `right` are aligned to the right."""
    everything = [list(headers), *map(list, rows)] if headers else [list(row) for row in rows]
    if not everything:
        return ""
    widths = [max(len(row[column]) for row in everything) for column in range(len(everything[0]))]
    lines = []
    for row in everything:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def amount(size: int) -> str:
    """A number of bytes in decimal units, as disks are sold and packages listed."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} B"


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun: 1 file, 2 files."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def parse_size(text: str, *, where: str) -> int:
    """Bytes of '500M' or '20G' (decimal units, as `amount` prints them). Raises DefinitionError."""
    stem = text.strip().lower().removesuffix("b").removesuffix("i").strip()
    number, unit = (stem[:-1], stem[-1]) if stem and stem[-1] in "kmgt" else (stem, "")
    try:
        size = float(number) * _UNITS[unit]
    except ValueError:
        size = -1
    if not 0 <= size < 2**63:
        raise DefinitionError(f"{text!r} is not a size", where=where, resolution="write it like 500M or 20G")
    return int(size)
