# SPDX-License-Identifier: Apache-2.0
"""Reads one file of a definition: bounded, with each fault kept as a problem instead of raised."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from zaffre.definition.problems import Problem, problems_of
from zaffre.definition.values import KeyPath

M = TypeVar("M", bound=BaseModel)

_MAX_FILE_BYTES = 1 << 20


class Reader:
    """Base of those who read a part of a distribution. What is wrong goes to `problems`, which they share."""

    def __init__(self, root: Path, problems: list[Problem]) -> None:
        self.root = root
        self.problems = problems

    def _model(self, file: str, model: type[M]) -> M | None:
        table = self._read(file)
        if table is None:
            return None
        try:
            return model.model_validate(table)
        except ValidationError as error:
            self.problems += problems_of(error, model, table, file)
            return None

    def _read(self, file: str) -> dict[str, object] | None:
        text = ""
        try:
            with open(f"{self.root}/{file}", "rb") as opened:  # noqa: PTH123 - thousands are read
                data = opened.read(_MAX_FILE_BYTES + 1)
            if len(data) > _MAX_FILE_BYTES:
                self._add(file, (), "is larger than 1 MB, which no definition is")
                return None
            # As in text mode: TOML knows both ends of a line, and tomllib counts lines by one of them.
            text = data.decode().replace("\r\n", "\n")
            return tomllib.loads(text)
        except OSError as error:
            self._add(file, (), f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            self._add(file, (), f"is not UTF-8 (byte {error.start})")
        except tomllib.TOMLDecodeError as error:
            self.problems.append(_syntax_problem(file, text, str(error)))
        return None

    def _add(self, file: str, key: KeyPath, message: str, suggestion: str | None = None) -> None:
        self.problems.append(Problem(file, key, message, suggestion))


def _syntax_problem(file: str, text: str, message: str) -> Problem:
    """The place is only in the text: "... (at line 3, column 7)" or "... (at end of document)"."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    line = (1, 1)
    if found:
        message = message[: found.start()]
        lines = text.split("\n")
        line = (int(found[1]), int(found[2])) if found[1] else (len(lines), len(lines[-1]) + 1)
    said = f"this is not TOML: {message[:1].lower() + message[1:]}"
    return Problem(file, (), said, "mend it there, or above: an open bracket or quote shows late", line)
