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
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from zaffre.definition.values import KeyPath, dotted
from zaffre.errors import DefinitionError

_LIMIT = 50
_FEW = 12
_TYPE = "must be "


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


def near(word: str, choices: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """A suggestion of the choice that `word` was probably meant to be."""
    found = get_close_matches(word, list(choices), n=1, cutoff=cutoff)
    return f"did you mean {found[0]!r}?" if found else None


def problems_of(error: ValidationError, model: type[BaseModel], data: Mapping[str, object], file: str) -> list[Problem]:
    """A validation error in our own words. `data` is what was validated: it gives the true key paths."""
    texts: dict[KeyPath, list[tuple[str, str | None]]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and detail["input"]:
            continue  # pydantic counts valid items only, and the others have been told
        key = _key_path(detail["loc"], data, missing=detail["type"] == "missing")
        if detail["type"].startswith("union_tag_"):
            key = (*key, _discriminator(detail))
        texts.setdefault(key, []).append(_words(detail, key, model, data))
    problems = []
    for key, words in texts.items():
        # The form of a name says nothing when what it names is of the wrong type.
        found = [word for word in words if word[0].startswith(_TYPE)] or words
        messages = list(dict.fromkeys(message for message, _ in found))
        if len(messages) > 1 and all(", not " in message for message in messages):  # the types of a union
            kinds = [message.removeprefix(_TYPE).split(", not ") for message in messages]
            messages = [f"{_TYPE}{' or '.join(kind for kind, _ in kinds)}, not {kinds[0][1]}"]
        suggestion = next((suggestion for _, suggestion in found if suggestion), None)
        problems.append(Problem(file, key, "; ".join(messages), suggestion))
    return problems


def _key_path(location: Sequence[str | int], data: object, *, missing: bool) -> KeyPath:
    """A location of pydantic without the parts that name types or roles instead of keys.

    With `missing`, the last key is one that the data lacks.
    """
    path: list[str | int] = []
    for index, part in enumerate(location):
        if isinstance(data, Mapping) and index + 1 < len(location) and _is_tag(part, location[index + 1], data):
            continue
        if isinstance(data, Mapping) and (part in data or missing):
            path.append(part)
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            path.append(part)
            data = data[part]
        else:
            break
    return tuple(path)


DISCRIMINATORS = ("kind", "op")
"""Keys whose value says which model a table is of."""


def _is_tag(part: str | int, after: str | int, data: Mapping[object, object]) -> bool:
    """Whether it names the type of a table, and not a key in it that is called the same."""
    return part in _tags(data) and (part not in data or after in data)


def _tags(data: Mapping[object, object]) -> list[object]:
    return [data[key] for key in DISCRIMINATORS if key in data]


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
    "union_tag_not_found": "is required",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "multiple_of": "must be a multiple of {multiple_of}",
}


def _discriminator(detail: ErrorDetails) -> str:
    return str(detail["ctx"]["discriminator"]).strip("'")


def _words(
    detail: ErrorDetails, key: KeyPath, model: type[BaseModel], data: Mapping[str, object]
) -> tuple[str, str | None]:
    """Message and suggestion for one fault that pydantic found."""
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    value = detail["input"]
    suggestion: str | None = None
    if kind == "extra_forbidden":
        message, suggestion = "unknown key", _near_key(key, model, data)
    elif expected := _EXPECTED.get(kind):
        message = f"{_TYPE}{expected}, not {_toml_kind(value)}"
        if isinstance(value, Mapping) and key and key[0] == "sysctl":
            suggestion = f'write the whole name in quotes: "{_first_leaf(key[1:], value)}"'
    elif kind in {"enum", "literal_error", "union_tag_invalid"}:
        choices = re.findall(r"'([^']+)'", str(context["expected_tags" if "tag" in context else "expected"]))
        message = "must be one of " + ", ".join(f'"{choice}"' for choice in choices)
        word = context.get("tag", value)
        suggestion = near(word, choices) if isinstance(word, str) else None
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


def _near_key(key: KeyPath, model: type[BaseModel], data: Mapping[str, object]) -> str | None:
    """A known key like the unknown one: of the same table first, else the same word in another table."""
    *parents, word = key
    table: type[BaseModel] | None = model
    value: object = data
    known: FieldInfo | None = None
    for part in parents:
        value = _item(value, part)
        if isinstance(part, str) and table is not None:
            known = table.model_fields.get(part)
        if known is not None and isinstance(value, Mapping):
            table = _model_of(known.annotation, value)
    if table is None:
        return None
    if suggestion := near(str(word), table.model_fields, cutoff=0.7):
        return suggestion
    elsewhere = {str(path[-1]): dotted(path) for path in reversed([*_all_keys(model)])}
    if found := get_close_matches(str(word), elsewhere, n=1, cutoff=0.8):
        return f"did you mean {elsewhere[found[0]]!r}?"
    if len(table.model_fields) > _FEW:
        return "`zaffre schema` lists every key"
    return f"keys here: {', '.join(table.model_fields)}"


def _item(data: object, part: str | int) -> object:
    if isinstance(data, Mapping):
        return data.get(part)
    return data[part] if isinstance(data, list) and isinstance(part, int) else None


def _all_keys(model: type[BaseModel], at: KeyPath = ()) -> Iterator[KeyPath]:
    for name, known in model.model_fields.items():
        yield (*at, name)
        if inner := next(_models_in(known.annotation), None):
            yield from _all_keys(inner, (*at, name))


def _model_of(annotation: object, table: Mapping[object, object]) -> type[BaseModel] | None:
    """The model that a field holds for this table, itself or in a list; of several, the one that a tag tells."""
    models = [*_models_in(annotation)]
    tags = _tags(table)
    tagged = (model for model in models for key in DISCRIMINATORS if _literal(model, key) in tags)
    return next(tagged, models[0]) if models else None


def _literal(model: type[BaseModel], key: str) -> object:
    known = model.model_fields.get(key)
    return next(iter(get_args(known.annotation)), None) if known else None


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) is not None and not (isinstance(annotation, type) and issubclass(annotation, Enum)):
        for argument in get_args(annotation):
            yield from _models_in(argument)
