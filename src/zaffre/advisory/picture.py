# SPDX-License-Identifier: Apache-2.0
"""The picture of a report: for each source, a bar of its vulnerabilities by what there is to do. SVG 1.1. Pure."""

from __future__ import annotations

from xml.etree import ElementTree as ET

from zaffre.advisory.report import Bucket, Report, vulnerabilities

TITLES = {
    Bucket.FIX_AVAILABLE: "A fix is available",
    Bucket.WAITING: "Waiting for the upstream",
    Bucket.ACCEPTED: "Accepted until a day",
    Bucket.NOT_AFFECTED: "Not affected",
}
COLOURS = {
    Bucket.FIX_AVAILABLE: "#c5221f",
    Bucket.WAITING: "#e8a33d",
    Bucket.ACCEPTED: "#1a56c4",
    Bucket.NOT_AFFECTED: "#9aa0a6",
}
_WIDTH, _LEFT, _RIGHT, _TOP, _LINE = 900, 190, 60, 56, 22
_MOST_SOURCES = 20
_FONT = "font-family:system-ui,sans-serif;font-size:13px"


def picture(report: Report) -> str:
    """An SVG element. The sources with most come first; beyond twenty, the rest is one bar."""
    rows = _rows(report)
    height = _TOP + _LINE * max(1, len(rows)) + 14
    root = ET.Element(
        "svg", xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {_WIDTH} {height}", role="img", style=_FONT
    )
    ET.SubElement(root, "title").text = "Known vulnerabilities by source, and what there is to do"
    ET.SubElement(root, "rect", width=str(_WIDTH), height=str(height), fill="#ffffff")
    for number, bucket in enumerate(Bucket):
        left = 8 + number * 222
        _bar(root, left, 14, 12, COLOURS[bucket])
        _word(root, f"{TITLES[bucket]}: {vulnerabilities(report.of(bucket))}", left + 20, 25)
    most = max((sum(counts.values()) for _, counts in rows), default=0)
    if not rows:
        _word(root, "None is known to be open.", _LEFT, _TOP + 15)
    for number, (source, counts) in enumerate(rows):
        top = _TOP + number * _LINE
        _word(root, source, _LEFT - 10, top + 13, anchor="end")
        end = float(_LEFT)
        for bucket, amount in counts.items():
            wide = amount / most * (_WIDTH - _LEFT - _RIGHT)
            if amount:
                _bar(root, end, top, wide, COLOURS[bucket], height=16)
            end += wide
        _word(root, str(sum(counts.values())), end + 6, top + 13)
    return ET.tostring(root, encoding="unicode")


def _rows(report: Report) -> list[tuple[str, dict[Bucket, int]]]:
    counts: dict[str, dict[Bucket, int]] = {}
    for one in report.findings:
        counts.setdefault(one.source, dict.fromkeys(Bucket, 0))[one.bucket] += 1
    rows = sorted(counts.items(), key=lambda row: (-sum(row[1].values()), row[0]))
    if len(rows) <= _MOST_SOURCES:
        return rows
    rest = rows[_MOST_SOURCES - 1 :]
    together = {bucket: sum(row[1][bucket] for row in rest) for bucket in Bucket}
    return [*rows[: _MOST_SOURCES - 1], (f"{len(rest)} more sources", together)]


def _bar(root: ET.Element, left: float, top: float, wide: float, colour: str, *, height: int = 12) -> None:
    places = {"x": f"{left:.1f}", "y": str(top), "width": f"{wide:.1f}", "height": str(height)}
    ET.SubElement(root, "rect", {**places, "fill": colour})


def _word(root: ET.Element, text: str, left: float, base: float, *, anchor: str = "start") -> None:
    places = {"x": f"{left:.1f}", "y": str(base), "text-anchor": anchor, "fill": "#202124"}
    ET.SubElement(root, "text", places).text = text
