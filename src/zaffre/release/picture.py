# SPDX-License-Identifier: Apache-2.0
"""What `simulate` found, as a picture: SVG 1.1, of lines and words alone, so no drawing library is needed."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as ET

from zaffre.release.simulate import Outcome, Point

_WIDTH, _HEIGHT = 900, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 50, 60
_FONT = "font-family:system-ui,sans-serif;font-size:14px"
_MOST_TICKS = 10
_PLANNED, _FIRST, _GOOD = "#9aa0a6", "#c5221f", "#1a56c4"


def picture(outcome: Outcome, title: str) -> str:
    """An SVG document: nodes that had begun, in percent, over the days; the plan, the first release, the good one."""
    root = ET.Element(
        "svg",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        style=_FONT,
    )
    ET.SubElement(root, "title").text = title
    ET.SubElement(root, "rect", width=str(_WIDTH), height=str(_HEIGHT), fill="#ffffff")
    _word(root, title, x=_LEFT, y=24, anchor="start", weight="bold")
    _axes(root, outcome.days)
    bad = outcome.stopped_day is not None or outcome.failed > 0
    lines: list[tuple[str, str, str, Callable[[Point], int]]] = [
        ("the schedule", _PLANNED, "6 4", lambda point: point.planned),
        ("the good release", _GOOD, "", lambda point: point.good),
    ]
    if bad:
        lines.insert(1, ("the bad release", _FIRST, "", lambda point: point.first))
    for number, (name, colour, dashes, value) in enumerate(lines):
        _line(root, outcome, colour, dashes, value)
        _legend(root, number, name, colour)
    if outcome.stopped_day is not None:
        _mark(root, outcome.stopped_day / outcome.days, "stopped")
    return ET.tostring(root, encoding="unicode") + "\n"


def _across(part: float) -> float:
    return _LEFT + part * (_WIDTH - _LEFT - _RIGHT)


def _up(part: float) -> float:
    return _HEIGHT - _BOTTOM - part * (_HEIGHT - _TOP - _BOTTOM)


def _word(parent: ET.Element, text: str, *, x: float, y: float, anchor: str, weight: str = "normal") -> None:
    attributes = {"x": f"{x:.1f}", "y": f"{y:.1f}", "text-anchor": anchor, "font-weight": weight, "fill": "#202124"}
    ET.SubElement(parent, "text", attributes).text = text


def _rule(parent: ET.Element, a: tuple[float, float], b: tuple[float, float], colour: str) -> None:
    places = {"x1": f"{a[0]:.1f}", "y1": f"{a[1]:.1f}", "x2": f"{b[0]:.1f}", "y2": f"{b[1]:.1f}"}
    ET.SubElement(parent, "line", {**places, "stroke": colour})


def _axes(root: ET.Element, days: float) -> None:
    for percent in range(0, 101, 25):
        height = _up(percent / 100)
        _rule(root, (_LEFT, height), (_WIDTH - _RIGHT, height), "#e0e0e0")
        _word(root, f"{percent} %", x=_LEFT - 8, y=height + 5, anchor="end")
    step = max(1, -(-int(days) // _MOST_TICKS))
    for day in range(0, int(days) + 1, step):
        _word(root, str(day), x=_across(day / days), y=_up(0) + 22, anchor="middle")
    _word(root, "days", x=_across(0.5), y=_HEIGHT - 12, anchor="middle")


def _line(root: ET.Element, outcome: Outcome, colour: str, dashes: str, value: Callable[[Point], int]) -> None:
    points = " ".join(
        f"{_across(point.day / outcome.days):.1f},{_up(value(point) / outcome.nodes):.1f}" for point in outcome.curve
    )
    attributes = {"points": points, "fill": "none", "stroke": colour, "stroke-width": "2.5"}
    ET.SubElement(root, "polyline", {**attributes, **({"stroke-dasharray": dashes} if dashes else {})})


def _legend(root: ET.Element, number: int, name: str, colour: str) -> None:
    left = _WIDTH - _RIGHT - 160 * (number + 1)
    _rule(root, (left, 36), (left + 24, 36), colour)
    _word(root, name, x=left + 30, y=41, anchor="start")


def _mark(root: ET.Element, part: float, word: str) -> None:
    _rule(root, (_across(part), _up(0)), (_across(part), _up(1)), _FIRST)
    _word(root, word, x=_across(part) + 6, y=_up(1) + 16, anchor="start")
