# SPDX-License-Identifier: Apache-2.0
"""Which format a feed has, and its reader."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from zaffre.advisory.formats.document import Document, is_table, rows
from zaffre.advisory.model import Exploited, Feed
from zaffre.advisory.statements import Claims
from zaffre.definition import FeedKind

_ZIP = b"PK\x03\x04"


def read_feed(document: Document, kind: FeedKind | None, *, now: dt.datetime) -> list[Feed | Exploited | Claims]:
    """What a document says. Without a `kind`, it is known by its form.

    Raises DefinitionError for what is malformed, contradicts itself or is of no known form, FindingError for what is
    empty.
    """
    match kind or _kind(document):
        case FeedKind.OSV:
            from zaffre.advisory.formats.osv import read_osv  # noqa: PLC0415 - each loads what it needs

            return [*read_osv(document)]
        case FeedKind.OVAL:
            from zaffre.advisory.formats.oval import read_oval  # noqa: PLC0415 - likewise

            return [read_oval(document)]
        case FeedKind.KEV:
            from zaffre.advisory.formats.kev import read_kev  # noqa: PLC0415 - likewise

            return [read_kev(document)]
        case FeedKind.OPENVEX:
            from zaffre.advisory.formats.openvex import read_openvex  # noqa: PLC0415 - likewise

            return [read_openvex(document, now=now)]
        case FeedKind.CSAF:
            from zaffre.advisory.formats.csaf import read_csaf  # noqa: PLC0415 - likewise

            return [read_csaf(document)]


def _kind(document: Document) -> FeedKind:
    head = document.data[:1024].lstrip(b"\xef\xbb\xbf \r\n\t")
    if head.startswith(_ZIP):
        return FeedKind.OSV
    if head.startswith(b"<"):
        return FeedKind.OVAL
    value = document.json()
    known = FeedKind.OSV if rows(value) else _kind_of_table(value) if is_table(value) else None
    if known is None:
        raise document.malformed("it is neither OSV, OVAL, OpenVEX, CSAF nor CISA's catalogue, by what it begins with")
    return known


def _kind_of_table(value: Mapping[str, object]) -> FeedKind | None:
    if "catalogVersion" in value:
        return FeedKind.KEV
    if "openvex" in str(value.get("@context", "")):
        return FeedKind.OPENVEX
    inner = value.get("document")
    if is_table(inner) and "csaf_version" in inner:
        return FeedKind.CSAF
    return FeedKind.OSV if value.keys() & {"affected", "vulns", "withdrawn"} else None
