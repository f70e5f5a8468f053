# SPDX-License-Identifier: Apache-2.0
"""A report in SARIF 2.1.0 (https://docs.oasis-open.org/sarif/sarif/v2.1.0/), as code hosts show it. Pure.

A vulnerability is a rule, a package of it a result. What is accepted or not affected is there with a suppression that
says why.
"""

from __future__ import annotations

import json
from importlib.metadata import version
from urllib.parse import quote

from zaffre.advisory.model import Severity
from zaffre.advisory.report import Affected, Bucket, Finding, Report
from zaffre.digest import JSON

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LEVELS = {Severity.CRITICAL: "error", Severity.HIGH: "error", Severity.LOW: "note", Severity.NONE: "note"}
# What code hosts sort by, on CVSS's scale; the middle of each word's span.
_SCORES = {Severity.CRITICAL: "9.5", Severity.HIGH: "8.0", Severity.MEDIUM: "5.5", Severity.LOW: "2.0"}


def sarif_text(report: Report) -> str:
    """One run. Equal reports give equal text."""
    rules = {one.vulnerability: _rule(one) for one in sorted(report.findings, key=lambda one: one.vulnerability)}
    numbers = {name: number for number, name in enumerate(rules)}
    results: list[JSON] = [
        _result(one, package, numbers[one.vulnerability])
        for bucket in Bucket
        for one in report.of(bucket)
        for package in one.packages
    ]
    run: dict[str, JSON] = {
        "tool": {
            "driver": {
                "name": "zaffre",
                "version": version("zaffre"),
                "rules": list(rules.values()),
            }
        },
        "results": results,
        "invocations": [{"executionSuccessful": True, "endTimeUtc": f"{report.at:%Y-%m-%dT%H:%M:%SZ}"}],
        "properties": {"feeds": [f"{one.name}, {one.age_hours} hours old: {one.provenance}" for one in report.feeds]},
    }
    return json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1, ensure_ascii=False) + "\n"


def _rule(one: Finding) -> dict[str, JSON]:
    properties: dict[str, JSON] = {"tags": ["security", *(["exploited"] if one.exploited else [])]}
    if one.severity in _SCORES:
        properties["security-severity"] = _SCORES[one.severity]
    return {
        "id": one.vulnerability,
        "shortDescription": {"text": one.summary or one.vulnerability},
        "properties": properties,
    }


def _result(one: Finding, package: Affected, rule: int) -> dict[str, JSON]:
    files = package.files or ((package.file,) if package.file else (package.name,))
    mended = f", mended in {one.fixed_version}" if one.fixed_version else ", no fix yet"
    result: dict[str, JSON] = {
        "ruleId": one.vulnerability,
        "ruleIndex": rule,
        "kind": "fail",
        "level": _LEVELS.get(one.severity, "warning"),
        "message": {"text": f"{one.vulnerability} in {package.name} {package.version} (source {one.source}){mended}"},
        "locations": [
            {
                "physicalLocation": {"artifactLocation": {"uri": _uri(files[0])}},
                "logicalLocations": [{"name": package.name, "kind": "package"}],
            }
        ],
        "partialFingerprints": {
            "vulnerability": f"{one.vulnerability}:{one.source}:{package.name}:{package.architecture}"
        },
        "properties": {"bucket": one.bucket, "images": list(package.images)},
    }
    if one.statement is not None and one.bucket in {Bucket.ACCEPTED, Bucket.NOT_AFFECTED}:
        why = f"{one.statement.reason} ({one.statement.file})"
        result["suppressions"] = [{"kind": "external", "status": "accepted", "justification": why}]
    return result


def _uri(path: str) -> str:
    """Relative, as code hosts want it."""
    return quote(path.rpartition(": ")[2].lstrip("/"), safe="/+~")
