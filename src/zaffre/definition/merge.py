# SPDX-License-Identifier: Apache-2.0
"""How files inherit: tables merge by key, scalars replace, lists append, and an item "-x" takes x away.

Pure: layers of TOML values in, one table out, with the origin of every value in it. The layers have been
validated one by one before, so a key has the same shape in all of them. Lists of tables only append; within
them a leading "-" means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TypeAlias

from zaffre.definition.problems import Problem
from zaffre.definition.values import KeyPath

OWN_KEYS = frozenset({"description", "extends", "profiles"})
"""Keys that say something about a file itself, so its heirs don't inherit them."""

Table: TypeAlias = Mapping[str, object]


@dataclass(frozen=True)
class Origin:
    """Where a value was written: a file relative to the distribution and the key path in it."""

    file: str
    key: KeyPath


@dataclass(frozen=True)
class Layer:
    """The content of one file, by its name relative to the distribution."""

    file: str
    table: Table


@dataclass(frozen=True)
class Merged:
    """The merged table; the origin of every table, scalar and list item in it; what was wrong."""

    table: dict[str, object]
    origins: dict[KeyPath, Origin]
    problems: tuple[Problem, ...]


@dataclass
class _Node:
    """A value being merged: a table has children by key, a list has items, a scalar neither."""

    origin: Origin
    value: object = None
    table: dict[str, _Node] | None = None
    items: list[_Node] | None = None


@dataclass
class _Merger:
    problems: list[Problem] = field(default_factory=list)

    def lay(self, below: _Node, table: Table, file: str, at: KeyPath) -> None:
        assert below.table is not None  # noqa: S101 - the shapes of layers agree
        for key, value in table.items():
            origin = Origin(file, (*at, key))
            if isinstance(value, Mapping):
                node = below.table.get(key)
                if node is None or node.table is None:
                    node = below.table[key] = _Node(origin, table={})
                self.lay(node, value, file, origin.key)
            elif isinstance(value, list):
                node = below.table.get(key)
                if node is None or node.items is None:
                    node = below.table[key] = _Node(origin, items=[])
                self._extend(node, value, origin)
            else:
                below.table[key] = _Node(origin, value)

    def _extend(self, node: _Node, values: Sequence[object], origin: Origin) -> None:
        assert node.items is not None  # noqa: S101 - made by the caller
        own: set[str] = set()
        for index, value in enumerate(values):
            here = Origin(origin.file, (*origin.key, index))
            if not isinstance(value, str):
                node.items.append(_Node(here, value))
                continue
            name = taken_away(value) or value
            if name in own:
                self.problems.append(Problem(here.file, here.key, f"{name!r} stands twice in this list"))
                continue
            own.add(name)
            found = next((item for item in node.items if item.value == name), None)
            if taken_away(value) is None:
                if found is None:  # what several parents name is there once, where it came first
                    node.items.append(_Node(here, value))
            elif found is not None:
                node.items.remove(found)
            else:
                inherited = [item.value for item in node.items if isinstance(item.value, str) and item.value not in own]
                near = get_close_matches(name, inherited, n=1)
                self.problems.append(
                    Problem(
                        here.file,
                        here.key,
                        f"{value!r} takes away {name!r}, which nothing before this file added",
                        f"did you mean {'-' + near[0]!r}?" if near else "remove the item",
                    )
                )


def taken_away(item: str) -> str | None:
    """The item that "-x" takes away, or None if `item` adds itself."""
    return item[1:] if len(item) > 1 and item.startswith("-") else None


def additions(table: Table) -> dict[str, object]:
    """The table with every "-x" in its inheritable lists written as "x": what can be validated by form."""

    def plain(value: object) -> object:
        if isinstance(value, Mapping):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, list):
            return [(taken_away(item) or item) if isinstance(item, str) else item for item in value]
        return value

    return {key: value if key in OWN_KEYS else plain(value) for key, value in table.items()}


def merge(layers: Sequence[Layer]) -> Merged:
    """Lay the files over each other, the first at the bottom. The last one is the image's own file."""
    merger = _Merger()
    root = _Node(Origin(layers[-1].file, ()), table={})
    for number, layer in enumerate(layers, start=1):
        table = layer.table
        if number < len(layers):
            table = {key: value for key, value in table.items() if key not in OWN_KEYS}
        merger.lay(root, table, layer.file, ())
    origins: dict[KeyPath, Origin] = {}

    def value_of(node: _Node, at: KeyPath) -> object:
        origins[at] = node.origin
        if node.table is not None:
            return {key: value_of(child, (*at, key)) for key, child in node.table.items()}
        if node.items is not None:
            return [value_of(child, (*at, index)) for index, child in enumerate(node.items)]
        return node.value

    assert root.table is not None  # noqa: S101 - made above
    table = {key: value_of(child, (key,)) for key, child in root.table.items()}
    origins[()] = root.origin
    return Merged(table, origins, tuple(merger.problems))


def origin_of(origins: Mapping[KeyPath, Origin], key: KeyPath) -> Origin:
    """Where the value at `key` was written; what lies within a list item is placed within the item's origin."""
    for length in range(len(key), -1, -1):
        if found := origins.get(key[:length]):
            return Origin(found.file, (*found.key, *key[length:]))
    raise KeyError(key)
