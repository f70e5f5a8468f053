# SPDX-License-Identifier: Apache-2.0
"""CISA's catalogue of known exploited vulnerabilities, by its known_exploited_vulnerabilities_schema.json."""

from __future__ import annotations

import datetime as dt

from zaffre.advisory.formats.document import CVE, Document, is_table, rows, text
from zaffre.advisory.model import Exploited


def read_kev(document: Document) -> Exploited:
    """Raises DefinitionError for a catalogue that is malformed or incomplete, FindingError for an empty one."""
    value = document.json()
    if not is_table(value) or "dateReleased" not in value:
        raise document.malformed("a catalogue has vulnerabilities and a dateReleased")
    entries = rows(value.get("vulnerabilities"))
    if not entries:
        raise document.empty("vulnerabilities")
    if value.get("count") != len(entries):
        raise document.contradictory(
            f"it says that it has {value.get('count')} vulnerabilities, and has {len(entries)}", record="count"
        )
    due: dict[str, dt.date] = {}
    for entry in entries:
        name = text(entry, "cveID")
        if not CVE.fullmatch(name):
            raise document.malformed(f"{name[:80]!r} is not a CVE", record="cveID")
        try:
            due[name] = dt.date.fromisoformat(text(entry, "dueDate"))
        except ValueError as error:
            raise document.malformed(str(error), record=name) from error
    dated = document.time(value["dateReleased"], "dateReleased")
    provenance = f"CISA, catalogue {text(value, 'catalogVersion')}"
    return Exploited(f"KEV {document.name}", provenance, dated, document.max_age, due)
