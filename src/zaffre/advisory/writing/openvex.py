# SPDX-License-Identifier: Apache-2.0
"""The owner's statements as an OpenVEX document (https://github.com/openvex/spec, 0.2.0). Pure.

Scanners match it by binary packages with their versions, so each statement names all those that it is about.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from zaffre.advisory.subject import Installed, Subject
from zaffre.definition import Statement, Status
from zaffre.digest import JSON, sha256_json

_CONTEXT = "https://openvex.dev/ns/v0.2.0"
_STATUSES = {
    Status.NOT_AFFECTED: "not_affected",
    Status.ACCEPTED: "affected",
    Status.UNDER_INVESTIGATION: "under_investigation",
}


def openvex_text(
    statements: Sequence[Statement], subjects: Sequence[Subject], *, author: str, namespace: str, at: dt.datetime
) -> str | None:
    """The document; None if no statement is about a package that is there: OpenVEX has no empty ones."""
    said = [value for one in statements if (value := _statement(one, subjects, at)) is not None]
    if not said:
        return None
    content: JSON = list(said)
    return (
        json.dumps(
            {
                "@context": _CONTEXT,
                "@id": f"{namespace.rstrip('/')}/vex/{sha256_json(content)[:32]}",
                "author": author,
                "timestamp": _time(at),
                "version": 1,
                "statements": content,
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )


def _statement(one: Statement, subjects: Iterable[Subject], at: dt.datetime) -> JSON:
    purls = sorted(
        {
            _purl(subject, package)
            for subject in subjects
            for package in subject.packages
            if package.source in one.packages and (not one.images or set(package.within) <= set(one.images))
        }
    )
    if not purls:
        return None
    status = _STATUSES[one.status]
    reason = {"not_affected": "impact_statement", "affected": "action_statement"}.get(status, "status_notes")
    since = dt.datetime.combine(one.since, dt.time(), dt.UTC)
    return {
        "vulnerability": {"name": one.vulnerability},
        "timestamp": _time(min(since, at)),
        "products": [{"@id": purl, "identifiers": {"purl": purl}} for purl in purls],
        "status": status,
        **({"justification": str(one.justification)} if one.justification is not None else {}),
        reason: one.reason,
    }


def _purl(subject: Subject, package: Installed) -> str:
    vendor = (subject.platform.ecosystem or "").partition(":")[0].replace(" ", "").lower()
    epoch, colon, plain = package.version.rpartition(":")
    version = package.version
    qualifiers = f"arch={quote(package.architecture, safe='')}"
    if subject.platform.family == "rpm" and colon:
        version, qualifiers = plain, f"{qualifiers}&epoch={quote(epoch, safe='')}"
    name = quote(package.name, safe="")
    return f"pkg:{subject.platform.family}/{quote(vendor, safe='')}/{name}@{quote(version, safe=':')}?{qualifiers}"


def _time(when: dt.datetime) -> str:
    return f"{when.astimezone(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
