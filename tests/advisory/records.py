# SPDX-License-Identifier: Apache-2.0
"""Feeds, subjects and statements, made of few words."""

from __future__ import annotations

import datetime as dt
from typing import Any

from zaffre.advisory.model import Advisory, Exploited, Feed, Kind, Range, Severity
from zaffre.advisory.subject import Installed, Platform, Subject, SubjectKind
from zaffre.definition import Statement

NOW = dt.datetime(2026, 11, 26, 9, tzinfo=dt.UTC)
WEEK = dt.timedelta(days=7)
DEBIAN = Platform("deb", "Debian:13 (upstream 'debian')", "debian", "Debian:13")
AZURE = Platform("rpm", "Azure Linux 3.0", None, "Azure Linux:3")


def installed(name: str, version: str, source: str | None = None, made: str | None = None, **more: Any) -> Installed:
    machine = more.pop("architecture", "amd64")
    return Installed(name, version, machine, source or name, made or version, more.pop("within", ("node",)), **more)


def subject(*packages: Installed, platform: Platform = DEBIAN, **more: Any) -> Subject:
    settings: dict[str, Any] = {"kind": SubjectKind.IMAGE, "title": "image node", "architecture": "amd64", **more}
    return Subject(platform=platform, packages=packages, **settings)


def fixed(cve: str, package: str, version: str | None, **more: Any) -> Advisory:
    ranges = (Range(fixed=version),)
    return Advisory(more.pop("id", f"TEST-{cve}-{package}"), package, more.pop("ranges", ranges), (cve,), **more)


def feed(*advisories: Advisory, name: str = "changelogs", **more: Any) -> Feed:
    settings: dict[str, Any] = {
        "kind": Kind.ARCHIVE,
        "ecosystem": "Debian:13",
        "family": "deb",
        "provenance": "a test",
        "dated": NOW - dt.timedelta(hours=5),
        "max_age": WEEK,
        **more,
    }
    return Feed(name=name, advisories=advisories, **settings)


def exploited(*cves: str) -> Exploited:
    return Exploited("KEV", "CISA", NOW, WEEK, dict.fromkeys(cves, dt.date(2026, 12, 1)))


def statement(**more: Any) -> Statement:
    return Statement.model_validate(
        {
            "file": "vex/one.toml",
            "vulnerability": "CVE-2026-1",
            "packages": ("openssl",),
            "status": "not_affected",
            "justification": "vulnerable_code_not_present",
            "reason": "it is built without it",
            "evidence": ("https://vex.example/1",),
            "author": "Ada",
            "since": dt.date(2026, 11, 1),
            "expires": dt.date(2027, 2, 1),
            **more,
        }
    )


__all__ = [
    "AZURE",
    "DEBIAN",
    "NOW",
    "WEEK",
    "Severity",
    "exploited",
    "feed",
    "fixed",
    "installed",
    "statement",
    "subject",
]
