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
_BREAK = re.compile(r"[\t-\r\x1c-\x1e\x85\u2028\u2029]+")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""What tells a terminal to do something, turns the order of what is read, or can't be written in any encoding."""


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
            where=f"{self.name}: {plain(record)}" if record else self.name,
            details=why,
            resolution="get it anew; if it is the same then, tell its publisher: nothing of it is used",
        )

    def contradictory(self, why: str, *, record: str) -> DefinitionError:
        return DefinitionError(
            "the feed contradicts itself",
            where=f"{self.name}: {plain(record)}",
            details=why,
            resolution="tell its publisher: nothing of it is used",
        )

    def empty(self, what: str) -> FindingError:
        return FindingError(
            f"the feed has no {what}",
            where=self.name,
            resolution="a feed that says nothing is no proof that there is nothing: get it anew, or leave it out",
        )

    def tables(self, value: object, what: str, *, record: str | None = None) -> Sequence[Mapping[str, object]]:
        """The tables of a list that may be left out. Raises DefinitionError for what is no list of tables."""
        found = rows(value)
        if value is not None and (not isinstance(value, list) or len(found) < len(value)):
            raise self.malformed(f"{what} is no list of tables", record=record)
        return found

    def strings(self, value: object, what: str, *, record: str | None = None) -> tuple[str, ...]:
        """The strings of a list that may be left out. Raises DefinitionError for what is no list of strings."""
        found = texts(value)
        if value is not None and (not isinstance(value, list) or len(found) < len(value)):
            raise self.malformed(f"{what} is no list of strings", record=record)
        return found

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


def plain(words: str) -> str:
    """Words of a stranger as a line of a report can have them: no line of their own, and nothing but to be read."""
    return _UNPRINTABLE.sub("\ufffd", _BREAK.sub(" ", words))


def text(table: Mapping[str, object], key: str) -> str:
    """A string of a table, made plain; "" where there is none."""
    value = table.get(key)
    return plain(value) if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """The strings of a list, made plain."""
    return tuple(plain(one) for one in value if isinstance(one, str)) if isinstance(value, list) else ()
