# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a definition, said in the words of its author: file, key path, message, suggestion.

Problems are collected and raised together as one DefinitionError, so that a definition is mended in one go.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from zaffre.definition.values import KeyPath, dotted
from zaffre.errors import DefinitionError

_LIMIT = 50


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. `file` is relative to the distribution; `line` is set for faults of syntax."""

    file: str
    key: KeyPath
    message: str
    suggestion: str | None = None
    line: tuple[int, int] | None = None

    @property
    def where(self) -> str:
        if self.line:
            return f"{self.file}:{self.line[0]}:{self.line[1]}"
        return f"{self.file}: {dotted(self.key)}" if self.key else self.file


def raise_problems(problems: Iterable[Problem], root: str) -> None:
    """Raise one DefinitionError for all problems, each named once; return if there are none."""
    found = list(dict.fromkeys(problems))
    if not found:
        return
    if len(found) == 1:
        only = found[0]
        raise DefinitionError(only.message, where=only.where, resolution=only.suggestion)
    lines = [
        f"{problem.where}: {problem.message}" + (f" ({problem.suggestion})" if problem.suggestion else "")
        for problem in found[:_LIMIT]
    ]
    if len(found) > _LIMIT:
        lines.append(f"and {len(found) - _LIMIT} more")
    raise DefinitionError(
        f"the definition has {len(found)} errors",
        where=root,
        details="\n".join(lines),
        resolution="mend them in the files that are named; `zaffre schema` lists every key",
    )


def near(word: str, choices: Iterable[str]) -> str | None:
    """A suggestion of the choice that `word` was probably meant to be."""
    found = get_close_matches(word, list(choices), n=1)
    return f"did you mean {found[0]!r}?" if found else None


def problems_of(error: ValidationError, model: type[BaseModel], data: Mapping[str, object], file: str) -> list[Problem]:
    """A validation error in our own words. `data` is what was validated: it gives the true key paths."""
    texts: dict[KeyPath, list[tuple[str, str | None]]] = {}
    for detail in error.errors(include_url=False):
        key = _key_path(detail["loc"], data)
        texts.setdefault(key, []).append(_words(detail, key, model))
    problems = []
    for key, found in texts.items():
        messages = list(dict.fromkeys(message for message, _ in found))
        if all(message.startswith("must be a") and ", not " in message for message in messages):  # of a union
            kinds = [message.removeprefix("must be ").split(", not ") for message in messages]
            messages = [f"must be {' or '.join(kind for kind, _ in kinds)}, not {kinds[0][1]}"]
        suggestion = next((suggestion for _, suggestion in found if suggestion), None)
        problems.append(Problem(file, key, "; ".join(messages), suggestion))
    return problems


def _key_path(location: Sequence[str | int], data: object) -> KeyPath:
    """A location of pydantic without the parts that name types or roles instead of keys."""
    path: list[str | int] = []
    for part in location:
        if isinstance(data, Mapping):
            path.append(part)
            if part not in data:
                break
            data = data[part]
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
        else:
            break
    if path and path[-1] == "[key]":
        path.pop()
    return tuple(path)


_EXPECTED = {
    "string_type": "a string",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a table",
    "mapping_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}

_LIMITS = {
    "missing": "is required",
    "too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
}


def _words(detail: ErrorDetails, key: KeyPath, model: type[BaseModel]) -> tuple[str, str | None]:
    """Message and suggestion for one fault that pydantic found."""
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    value = detail["input"]
    suggestion: str | None = None
    if kind == "extra_forbidden":
        message, suggestion = "unknown key", _near_key(key, model)
    elif expected := _EXPECTED.get(kind):
        message = f"must be {expected}, not {_toml_kind(value)}"
        if isinstance(value, Mapping) and key and key[0] == "sysctl":
            suggestion = f'write the whole name in quotes: "{_first_leaf(key[1:], value)}"'
    elif kind == "enum":
        choices = re.findall(r"'([^']+)'", str(context["expected"]))
        message = "must be one of " + ", ".join(f'"{choice}"' for choice in choices)
        suggestion = near(value, choices) if isinstance(value, str) else None
    elif kind == "value_error":
        message = str(context["error"])
    elif kind in _LIMITS:
        message = _LIMITS[kind].format(**context)
    else:
        message = detail["msg"][:1].lower() + detail["msg"][1:]
    return message, suggestion


def _first_leaf(key: KeyPath, value: object) -> str:
    parts = [str(part) for part in key]
    while isinstance(value, Mapping) and value:
        name, value = next(iter(value.items()))
        parts.append(str(name))
    return ".".join(parts)


def _toml_kind(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    names = ((str, "a string"), (int, "a number"), (float, "a fraction"), (list, "a list"), (Mapping, "a table"))
    return next((name for kind, name in names if isinstance(value, kind)), "a date or time")


def _near_key(key: KeyPath, model: type[BaseModel]) -> str | None:
    """A known key like the unknown one: of the same table first, else the same word in another table."""
    *parents, word = key
    table: type[BaseModel] | None = model
    for part in parents:
        if isinstance(part, str) and table is not None:
            known = table.model_fields.get(part)
            table = _model_in(known.annotation) if known else None
    if table is None:
        return None
    if suggestion := near(str(word), table.model_fields):
        return suggestion
    elsewhere = [dotted(path) for path in _all_keys(model) if path[-1] == word]
    return f"did you mean {elsewhere[0]!r}?" if elsewhere else f"keys here: {', '.join(table.model_fields)}"


def _all_keys(model: type[BaseModel], at: KeyPath = ()) -> Iterator[KeyPath]:
    for name, known in model.model_fields.items():
        yield (*at, name)
        if inner := _model_in(known.annotation):
            yield from _all_keys(inner, (*at, name))


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that a field holds, itself or in a list."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is None or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return None
    return next((inner for argument in get_args(annotation) if (inner := _model_in(argument))), None)
