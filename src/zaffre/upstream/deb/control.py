# SPDX-License-Identifier: Apache-2.0
"""Stanzas of Debian control files, and the relations between packages that they state.

Format: deb822(5), Debian policy 5.1 and 7.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from zaffre.upstream.deb.version import satisfies

_RELATION = re.compile(
    r"\s*(?P<name>[A-Za-z0-9][A-Za-z0-9+.\-]*)"
    r"(?::(?P<qualifier>[a-z0-9-]+))?"
    r"(?:\s*\(\s*(?P<operator><<|<=|=|>=|>>|<|>)\s*(?P<version>[^\s)]+)\s*\))?"
    r"(?:\s*\[[^\]]*\])?\s*\Z"
)


def parse_stanza(text: str, *, once: bool = False) -> dict[str, str]:
    """Fields of one stanza. Continuation lines keep their newline. Raises ValueError for a line of another form, and
    with `once` for a field that comes twice, which dpkg refuses too; else the last one counts.
    """
    fields: dict[str, str] = {}
    name = ""
    for line in text.split("\n"):
        if not line.strip() or line[0] == "#":
            continue
        if line[0] in " \t":
            if not name:
                raise ValueError(f"a continuation without a field: {line[:80]!r}")
            fields[name] += "\n" + line[1:]
            continue
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise ValueError(f"not a field: {line[:80]!r}")
        if once and name in fields:
            raise ValueError(f"the field {name} comes twice: {fields[name][:80]!r} and {value.strip()[:80]!r}")
        fields[name] = value.strip()
    return fields


def parse_stanzas(text: str, *, once: bool = False) -> Iterator[dict[str, str]]:
    """All stanzas of a small file, each as `parse_stanza` says. Indexes have their own reader in `index`."""
    for block in re.split(r"\n[ \t]*\n", text):
        if stanza := parse_stanza(block, once=once):
            yield stanza


@dataclass(frozen=True, slots=True)
class Relation:
    """One alternative of a dependency: a name, perhaps with a relation to a version."""

    name: str
    operator: str = ""
    version: str = ""

    def accepts(self, version: str) -> bool:
        return not self.operator or satisfies(version, self.operator, self.version)

    def provided_by(self, version: str | None) -> bool:
        """A versioned dependency is only met by a versioned Provides (policy 7.5)."""
        return not self.operator or (version is not None and satisfies(version, self.operator, self.version))

    def __str__(self) -> str:
        return f"{self.name} ({self.operator} {self.version})" if self.operator else self.name


@lru_cache(maxsize=1 << 14)
def parse_relations(field: str) -> tuple[tuple[Relation, ...], ...]:
    """`a (>= 1) | b, c` as a conjunction of alternatives. Raises ValueError for another form."""
    groups = []
    for group in field.split(","):
        if not group.strip():
            continue
        alternatives = []
        for part in group.split("|"):
            match = _RELATION.match(part)
            if match is None:
                raise ValueError(f"{part.strip()[:80]!r} is not a relation to a package")
            alternatives.append(Relation(match["name"], match["operator"] or "", match["version"] or ""))
        groups.append(tuple(alternatives))
    return tuple(groups)


def source_of(stanza: Mapping[str, str]) -> tuple[str, str]:
    """Name and version of the source package (policy 5.6.1: `Source` is left out where it says nothing new)."""
    name, _, rest = stanza.get("Source", stanza["Package"]).partition(" ")
    return name, rest.strip().removeprefix("(").removesuffix(")") or stanza["Version"]
