# SPDX-License-Identifier: Apache-2.0
"""The hours of the day in which a node may restart. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

_FORM = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")
_DAY = 24 * 60


@dataclass(frozen=True)
class Window:
    """From `begin` until before `end`, minutes of the day in UTC; over midnight when it ends earlier than it begins."""

    begin: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """A window as `22:30-04:00`. Raises ValueError for anything else, and for one that ends when it begins."""
        match = _FORM.fullmatch(text)
        if match is None:
            message = f"{text!r} is not a window of the day, like 22:30-04:00"
            raise ValueError(message)
        hours = [int(part) for part in match.groups()]
        begin, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        if begin == end:
            message = f"{text!r} ends when it begins"
            raise ValueError(message)
        return cls(begin, end)

    def open(self, now: datetime) -> bool:
        """Whether it is open at `now`, which has a zone."""
        return (self._minute(now) - self.begin) % _DAY < (self.end - self.begin) % _DAY

    def opens(self, now: datetime) -> datetime:
        """`now` if it is open, else when it opens next."""
        if self.open(now):
            return now
        wait = (self.begin - self._minute(now)) % _DAY
        return now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=wait)

    @staticmethod
    def _minute(now: datetime) -> int:
        utc = now.astimezone(UTC)
        return utc.hour * 60 + utc.minute
