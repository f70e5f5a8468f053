# SPDX-License-Identifier: Apache-2.0
"""The bytes of a feed, and what is wrong with them."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from zaffre.advisory.subject import Platform
from zaffre.errors import DefinitionError, FindingError

CVE = re.compile(r"CVE-[0-9]{4}-[0-9]{4,19}")
_SURROGATE = re.compile("[\ud800-\udfff]")
"""What JSON can escape, and no encoding can write."""


@dataclass(frozen=True)
class Document:
    """`platform` is whose packages it is about, for formats that do not say it."""

    name: str
    data: bytes = field(repr=False)
    max_age: dt.timedelta
    platform: Platform | None = None

    def json(self) -> object:
        """Raises DefinitionError for what is no JSON."""
        try:
            value: object = json.loads(self.data)
        except (ValueError, RecursionError) as error:
            raise self.malformed(f"it is not JSON: {error}") from error
        return value

    def malformed(self, why: str, *, record: str | None = None) -> DefinitionError:
        return DefinitionError(
            "the feed is malformed",
            where=f"{self.name}: {record}" if record else self.name,
            details=why,
            resolution="get it anew; if it is the same then, tell its publisher: nothing of it is used",
        )

    def contradictory(self, why: str, *, record: str) -> DefinitionError:
        return DefinitionError(
            "the feed contradicts itself",
            where=f"{self.name}: {record}",
            details=why,
            resolution="tell its publisher: nothing of it is used",
        )

    def empty(self, what: str) -> FindingError:
        return FindingError(
            f"the feed has no {what}",
            where=self.name,
            resolution="a feed that says nothing is no proof that there is nothing: get it anew, or leave it out",
        )

    def time(self, text: object, key: str) -> dt.datetime:
        """RFC 3339, with the zone. Raises DefinitionError."""
        try:
            value = dt.datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", str(text)))
            return value.replace(tzinfo=dt.UTC) if value.tzinfo is None else value.astimezone(dt.UTC)
        except (ValueError, OverflowError) as error:
            raise self.malformed(f"{key} is not a time: {str(text)[:80]!r}") from error


def is_table(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, dict)


def rows(value: object) -> Sequence[Mapping[str, object]]:
    """The tables in a list; of anything else, none."""
    return [one for one in value if is_table(one)] if isinstance(value, list) else []


def text(table: Mapping[str, object], key: str) -> str:
    """A string of a table, which can be written; "" where there is none."""
    value = table.get(key)
    return _SURROGATE.sub("\ufffd", value) if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """The strings of a list."""
    return (
        tuple(_SURROGATE.sub("\ufffd", one) for one in value if isinstance(one, str)) if isinstance(value, list) else ()
    )
