# SPDX-License-Identifier: Apache-2.0
"""Who of a set of Debian packages needs whom, by their own control files."""

from __future__ import annotations

from collections.abc import Sequence

from zaffre.store import Store
from zaffre.tree.deb.model import PackageIndex
from zaffre.tree.deb.unpack import known_index
from zaffre.upstream.deb.control import parse_relations
from zaffre.upstream.lock import LockedPackage

_FIELDS = ("Pre-Depends", "Depends")


def dependants(packages: Sequence[LockedPackage], *, store: Store) -> dict[str, tuple[str, ...]]:
    """By a package's name, those that depend on it directly, as far as the store has them unpacked."""
    indexes = [index for package in packages if (index := known_index(package, store)) is not None]
    return needed_by_name(indexes, [package.name for package in packages])


def needed_by_name(indexes: Sequence[PackageIndex], names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The same of known packages in a set of these `names`. Of alternatives, the first that is there counts."""
    givers = {name: name for name in names}
    for index in indexes:
        for relation, *_ in parse_relations(index.fields.get("Provides", "")):
            givers.setdefault(relation.name, index.name)
    found: dict[str, set[str]] = {}
    for index in indexes:
        for field in _FIELDS:
            for alternatives in parse_relations(index.fields.get(field, "")):
                giver = next((givers[one.name] for one in alternatives if one.name in givers), None)
                if giver is not None and giver != index.name:
                    found.setdefault(giver, set()).add(index.name)
    return {name: tuple(sorted(by)) for name, by in found.items()}
