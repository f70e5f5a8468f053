# SPDX-License-Identifier: Apache-2.0
"""JSON objects, one a line, out of a stream of bytes: QEMU's monitor and a guest's reports have this form. Pure.

A guest is not trusted: lines are bounded, and what is not a JSON object is counted and left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from zaffre.digest import JSON

_LONGEST_LINE = 4 * 1024 * 1024


class JsonLines:
    """`malformed` counts the lines that were left out."""

    def __init__(self) -> None:
        self.malformed = 0
        self._rest = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[Mapping[str, JSON]]:
        self._rest += data
        *lines, rest = bytes(self._rest).split(b"\n") if b"\n" in data else (bytes(self._rest),)
        self._rest = bytearray(rest)
        for line in lines:
            if self._skipping:
                self._skipping = False
                continue
            yield from self._parse(line)
        if len(self._rest) > _LONGEST_LINE:
            if not self._skipping:
                self.malformed += 1
            self._skipping = True
            self._rest.clear()

    def _parse(self, line: bytes) -> Iterator[Mapping[str, JSON]]:
        if not line.strip():
            return
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        if isinstance(value, dict):
            yield value
        else:
            self.malformed += 1
