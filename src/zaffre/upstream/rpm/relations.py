# SPDX-License-Identifier: Apache-2.0
"""The relations of a package as its header has them: three arrays for each kind (rpm's `docs/manual/tags.md`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from zaffre.upstream.rpm.header import Header, Tag

# rpmds.h: rpmsenseFlags
_LESS, _GREATER, _EQUAL = 1 << 1, 1 << 2, 1 << 3
_BEFORE = 1 << 6 | 1 << 9 | 1 << 10  # RPMSENSE_PREREQ, _SCRIPT_PRE, _SCRIPT_POST
_OPERATORS = {
    _LESS: "<",
    _GREATER: ">",
    _EQUAL: "=",
    _LESS | _EQUAL: "<=",
    _GREATER | _EQUAL: ">=",
}
_OF_RPM = "rpmlib("
"""What a package needs of rpm itself, which no package provides."""


class Kind(Enum):
    """A kind of relation: the word for it in repository metadata, and its tags."""

    PROVIDES = ("provides", Tag.PROVIDE_NAME, Tag.PROVIDE_FLAGS, Tag.PROVIDE_VERSION)
    REQUIRES = ("requires", Tag.REQUIRE_NAME, Tag.REQUIRE_FLAGS, Tag.REQUIRE_VERSION)
    CONFLICTS = ("conflicts", Tag.CONFLICT_NAME, Tag.CONFLICT_FLAGS, Tag.CONFLICT_VERSION)
    OBSOLETES = ("obsoletes", Tag.OBSOLETE_NAME, Tag.OBSOLETE_FLAGS, Tag.OBSOLETE_VERSION)
    RECOMMENDS = ("recommends", Tag.RECOMMEND_NAME, Tag.RECOMMEND_FLAGS, Tag.RECOMMEND_VERSION)
    SUGGESTS = ("suggests", Tag.SUGGEST_NAME, Tag.SUGGEST_FLAGS, Tag.SUGGEST_VERSION)
    SUPPLEMENTS = ("supplements", Tag.SUPPLEMENT_NAME, Tag.SUPPLEMENT_FLAGS, Tag.SUPPLEMENT_VERSION)
    ENHANCES = ("enhances", Tag.ENHANCE_NAME, Tag.ENHANCE_FLAGS, Tag.ENHANCE_VERSION)

    @property
    def word(self) -> str:
        return self.value[0]


@dataclass(frozen=True)
class Relation:
    """`operator` is "" where `version` counts for nothing. A rich relation is all in its name, in parentheses."""

    name: str
    operator: str
    version: str
    before: bool
    """Whether it must be there before the package is."""

    def __str__(self) -> str:
        return f"{self.name} {self.operator} {self.version}" if self.operator else self.name


def relations_of(header: Header, kind: Kind) -> Iterator[Relation]:
    """Each once, without those on rpm itself. Raises ValueError where the arrays do not fit together."""
    _, names, flags, versions = kind.value
    seen: set[Relation] = set()
    for name, flag, version in zip(header.texts(names), header.numbers(flags), header.texts(versions), strict=True):
        operator = _OPERATORS.get(flag & (_LESS | _GREATER | _EQUAL), "")
        one = Relation(name, operator, version if operator else "", bool(flag & _BEFORE))
        if one not in seen and not name.startswith(_OF_RPM):
            seen.add(one)
            yield one
