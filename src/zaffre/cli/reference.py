# SPDX-License-Identifier: Apache-2.0
"""The definition's JSON Schema as a page to read: every file, every table, every key."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_REFERENCE = "#/$defs/"

Schema = Mapping[str, Any]


def reference_page(schema: Schema) -> str:
    """Markdown: first the files, then the tables that they hold, each told once, in the order of first mention."""
    words = {name: one for name, one in schema["$defs"].items() if "enum" in one}
    definitions = {name: _spelled(one, words) for name, one in schema["$defs"].items() if name not in words}
    lines = [f"# {schema['title']}", "", schema["description"], ""]
    lines += ["This page is made by `zaffre schema --markdown`.", ""]
    told: list[str] = []
    for file, value in schema["properties"].items():
        lines += [f"## `{file}`", ""]
        for form in value.get("oneOf", (value,)):
            name = _named(form)
            lines += _section(definitions[name], definitions)
            told += [one for one in _tables_of(definitions[name]) if one not in told]
    for name in told:  # grows while it is read
        told += [one for one in _tables_of(definitions[name]) if one not in told]
        lines += [f"## Table {name}", "", *_section(definitions[name], definitions)]
    return "\n".join(lines).rstrip()


def _spelled(value: Any, words: Schema) -> Any:
    """A copy in which sets of words stand where they are used, instead of a reference to them."""
    if isinstance(value, Mapping):
        meant = words.get(_named(value))
        rest = {key: _spelled(one, words) for key, one in value.items()}
        return {**rest, "$ref": "", "enum": meant["enum"]} if meant else rest
    return [_spelled(one, words) for one in value] if isinstance(value, list) else value


def _section(table: Schema, definitions: Schema) -> list[str]:
    required = set(table.get("required", ()))
    lines = [table["description"], ""] if table.get("description") else []
    lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key, value in table["properties"].items():
        default = "required" if key in required else _default(value)
        lines.append(f"| `{key}` | {_type(value)} | {default} | {_meaning(value, definitions)} |")
    return [*lines, ""]


def _default(value: Schema) -> str:
    default = value.get("default")
    if default in (None, "", [], {}):
        return ""
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _meaning(value: Schema, definitions: Schema) -> str:
    """What is said of the key, else what is said of the table that it holds."""
    said = value.get("description") or definitions.get(_named(value), {}).get("description", "")
    return " ".join(str(said).replace("|", "\\|").replace("<", "&lt;").split())


def _type(value: Schema) -> str:
    choices = [one for one in (*value.get("anyOf", ()), *value.get("oneOf", ())) if one.get("type") != "null"]
    name = _named(value)
    if name:
        shown = f"[{name}](#table-{name.lower()})"
    elif "const" in value:
        shown = f"`{value['const']}`"
    elif "enum" in value:
        shown = " or ".join(f"`{one}`" for one in value["enum"])
    elif choices:
        shown = " or ".join(dict.fromkeys(_type(one) for one in choices))
    elif value.get("type") == "array":
        shown = f"list of {_type(value.get('items', {}))}"
    elif value.get("type") == "object":
        shown = f"table of {_type(_values_of(value))}"
    else:
        shown = str(value.get("type", "any"))
    return shown


def _values_of(table: Schema) -> Schema:
    """The schema of the values of a table with free keys."""
    inner = value if isinstance(value := table.get("additionalProperties"), Mapping) else {}
    return next(iter(table.get("patternProperties", {}).values()), inner)


def _named(value: Schema) -> str:
    return str(value.get("$ref", "")).removeprefix(_REFERENCE)


def _tables_of(table: Schema) -> Iterator[str]:
    """Tables that the keys of a table refer to."""
    for value in table["properties"].values():
        yield from _references(value)


def _references(value: Schema) -> Iterator[str]:
    if name := _named(value):
        yield name
    for inner in (value.get("items"), _values_of(value), *value.get("anyOf", ()), *value.get("oneOf", ())):
        if isinstance(inner, Mapping) and inner:
            yield from _references(inner)
