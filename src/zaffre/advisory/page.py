# SPDX-License-Identifier: Apache-2.0
"""A report as one HTML page, with its picture in it: nothing is loaded from anywhere. Pure.

What feeds say is text to it, whatever it looks like.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from zaffre.advisory.picture import COLOURS, TITLES, picture
from zaffre.advisory.report import Bucket, Finding, Report, vulnerabilities

_STYLE = """\
body{font:15px/1.5 system-ui,sans-serif;color:#202124;margin:2em auto;max-width:75em;padding:0 1em}
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em;border-left:.4em solid;padding-left:.5em}
table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.25em .8em .25em 0}
th{border-bottom:2px solid #dadce0;font-weight:600}td{border-bottom:1px solid #e8eaed}
code{font-size:.93em}.due{color:#c5221f;font-weight:600}.why{color:#5f6368}svg{max-width:100%;height:auto}
"""
_HEADINGS = ("Vulnerability", "Severity", "Source", "Has", "Fixed in", "Packages and files", "")


def page(report: Report) -> str:
    """The whole document."""
    title = " and ".join(one.title for one in report.subjects)
    body = "\n".join(_body(report, title))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _body(report: Report, title: str) -> Iterator[str]:
    yield f"<h1>Known vulnerabilities: {escape(title)}</h1>"
    yield f"<p>Scanned {report.at:%Y-%m-%d %H:%M} UTC. "
    for one in report.subjects:
        yield f"{one.packages} packages of {one.sources} sources, {escape(one.platform)}, {escape(one.architecture)}. "
    yield f"{report.mended} known vulnerabilities are mended in what is there.</p>"
    yield picture(report)
    yield _table(
        ("Feed", "Age", "Records", "From"),
        [(one.name, f"{one.age_hours:g} hours", str(one.records), one.provenance) for one in report.feeds],
    )
    for bucket in Bucket:
        found = report.of(bucket)
        if found:
            amount = f"{vulnerabilities(found)} in {len({one.source for one in found})} sources"
            yield f'<h2 style="border-color:{COLOURS[bucket]}">{TITLES[bucket]}: {amount}</h2>'
            yield f"<table><tr>{''.join(f'<th>{name}</th>' for name in _HEADINGS)}</tr>"
            yield from (_row(one) for one in found)
            yield "</table>"
    for one in report.subjects:
        if one.uncovered:
            yield f"<p>No feed speaks of these sources: {escape(', '.join(one.uncovered))}.</p>"
    doubts = [*report.notes, *(doubt for one in report.feeds for doubt in one.doubts)]
    if doubts:
        yield f"<ul>{''.join(f'<li>{escape(one)}</li>' for one in doubts)}</ul>"


def _row(one: Finding) -> str:
    packages = "<br>".join(
        f"{escape(package.name)} {escape(package.version)}"
        + (f' <span class="why">{escape(", ".join(package.images))}</span>' if package.images else "")
        + "".join(f"<br><code>{escape(path)}</code>" for path in package.files or filter(None, [package.file]))
        for package in one.packages
    )
    cells = (
        escape(one.vulnerability),
        "" if one.severity == "unknown" else escape(one.severity),
        escape(one.source),
        escape(one.source_version),
        escape(one.fixed_version or ""),
        packages,
        "<br>".join(_remarks(one)),
    )
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _remarks(one: Finding) -> Iterator[str]:
    if one.due is not None:
        yield f'<span class="due">is being exploited; CISA: to be mended by {one.due}</span>'
    if one.summary:
        yield escape(one.summary)
    if one.statement is not None:
        until = f", until {one.statement.expires}" if one.statement.expires else ""
        why = f"{one.statement.justification}: " if one.statement.justification else ""
        said = f"{why}{one.statement.reason} ({one.statement.author}, {one.statement.file}{until})"
        yield f'<span class="why">{escape(said)}</span>'
    yield from (escape(doubt) for doubt in one.doubts)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in headings)
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"
