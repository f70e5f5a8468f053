# SPDX-License-Identifier: Apache-2.0
"""Measured values, the ratios of their pairs and the limits they are held to; as a table, Markdown and JSON. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

Plain = str | float | bool | None | list["Plain"] | dict[str, "Plain"]


class Unit(StrEnum):
    """The unit of a figure's values: seconds, bytes or pieces, in which they are kept, whatever they are shown in."""

    SECONDS = "seconds"
    BYTES = "bytes"
    COUNT = "count"


@dataclass(frozen=True)
class Limit:
    """The most that a figure may be: `ratio` of the peer's, or `value` in the figure's own unit."""

    ratio: float | None = None
    value: float | None = None
    strict: bool = False
    """The limit itself is too much already."""


@dataclass(frozen=True)
class Figure:
    """One line of the table. Values at the same place of `ours` and `theirs` were measured one after the other.

    A figure without `peer` stands alone; one without `limit` is told and not judged.
    """

    title: str
    unit: Unit
    ours: tuple[float, ...]
    peer: str | None = None
    theirs: tuple[float, ...] = ()
    limit: Limit | None = None

    def __post_init__(self) -> None:
        if not self.ours or (self.peer is not None and len(self.ours) != len(self.theirs)):
            raise ValueError(f"{self.title}: values must come in pairs, and there must be some")

    @property
    def value(self) -> float:
        """The median of ours."""
        return median(self.ours)

    @property
    def other(self) -> float | None:
        """The median of the peer's."""
        return median(self.theirs) if self.peer is not None else None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of the pairs: a slow minute of the machine slows both of a pair."""
        if self.peer is None:
            return None
        return median(mine / theirs for mine, theirs in zip(self.ours, self.theirs, strict=True))

    @property
    def held(self) -> bool | None:
        """Whether the limit is kept; None where there is none."""
        if self.limit is None:
            return None
        for measured, most in ((self.ratio, self.limit.ratio), (self.value, self.limit.value)):
            if most is not None and (measured is None or measured > most or (self.limit.strict and measured == most)):
                return False
        return True


HEADERS = ("", "Zaffre", "peer", "", "ratio", "limit", "")
_RIGHT = frozenset({1, 2, 4, 5})
_SHOWN = {Unit.SECONDS: (1.0, "s"), Unit.BYTES: (1e6, "MB"), Unit.COUNT: (1.0, "")}
"""What a value is divided by to be shown, and the name of that unit."""


def rows(figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """The cells of the table, under HEADERS."""
    return [
        (
            one.title,
            shown(one.value, one.unit),
            shown(one.other, one.unit) if one.other is not None else "",
            one.peer or "",
            _ratio(one.ratio),
            _limit(one),
            {None: "", True: "held", False: "MISSED"}[one.held],
        )
        for one in figures
    ]


def table(figures: Sequence[Figure]) -> str:
    """Columns in line, for a terminal."""
    lines = [HEADERS, *rows(figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADERS))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in _RIGHT else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown(figures: Sequence[Figure]) -> str:
    """A table for the README."""
    marks = ["--:" if column in _RIGHT else ":--" for column in range(len(HEADERS))]
    return "\n".join("| " + " | ".join(line) + " |" for line in [HEADERS, marks, *rows(figures)])


def plain(figures: Sequence[Figure]) -> Plain:
    """For JSON: every value that was measured, in its unit."""
    return [
        {
            "title": one.title,
            "unit": one.unit.value,
            "zaffre": list(one.ours),
            "peer": one.peer,
            "peer_values": list(one.theirs),
            "ratio": one.ratio,
            "most_ratio": one.limit.ratio if one.limit else None,
            "most_value": one.limit.value if one.limit else None,
            "held": one.held,
        }
        for one in figures
    ]


def shown(value: float, unit: Unit) -> str:
    """With three digits that count: 0.412 s, 9.87 s, 84.1 s; 98.3 MB (a million bytes). Pieces are whole: 204."""
    if unit is Unit.COUNT:
        return f"{value:.0f}"
    scale, name = _SHOWN[unit]
    return f"{_three_digits(value / scale)} {name}"


def _three_digits(value: float) -> str:
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2 if value >= 0.9995 else 3}f}"


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def _limit(one: Figure) -> str:
    if one.limit is None:
        return ""
    sign = "<" if one.limit.strict else "≤"
    if one.limit.ratio is not None:
        return f"{sign} {one.limit.ratio:g}"
    if one.limit.value is None:
        return ""
    scale, name = _SHOWN[one.unit]
    return f"{sign} {one.limit.value / scale:g} {name}".rstrip()
