# SPDX-License-Identifier: Apache-2.0
"""A resolver just good enough to install apt, for the first lock of a tools tree. It is used for nothing else.

It follows the first alternative that exists, takes the newest version of each package, knows neither
recommends nor a way back, and refuses conflicts. What it picks is replaced by apt's own answer right away.
"""

from __future__ import annotations

from collections.abc import Sequence

from zaffre.errors import DefinitionError
from zaffre.upstream.deb.control import Relation, parse_relations
from zaffre.upstream.deb.index import Candidate, Indexes, Universe
from zaffre.upstream.lock import LockedPackage

# Debian policy 2.5; of several providers of a virtual package the most basic one is taken.
_PRIORITIES = ("required", "important", "standard", "optional", "extra")


def bootstrap_resolve(names: Sequence[str], indexes: Indexes, architecture: str) -> tuple[LockedPackage, ...]:
    """The essential packages, `names`, and all that they depend on. Raises DefinitionError if it finds no way."""
    universe = indexes.universe(architecture)
    chosen: dict[str, Candidate] = {}
    queue: list[tuple[tuple[Relation, ...], str]] = [
        ((Relation(name),), "the seed") for name in (*universe.essential, *names)
    ]
    # Names before dependencies, so that an alternative which is wanted anyway is found among the chosen.
    while queue:
        alternatives, wanted_by = queue.pop(0)
        if any(_met(one, chosen) for one in alternatives):
            continue
        picked = next(filter(None, (_pick(one, universe) for one in alternatives)), None)
        if picked is None or picked.name in chosen:
            raise DefinitionError(
                f"'{wanted_by}' needs {' or '.join(map(str, alternatives))}, which the upstream has not got",
                where="zaffre.toml: seed.packages",
                resolution="list apt there, and name every suite of the upstream",
            )
        chosen[picked.name] = picked
        for field in ("Pre-Depends", "Depends"):
            queue += [(group, picked.name) for group in parse_relations(picked.fields.get(field, ""))]
    _refuse_conflicts(chosen)
    return tuple(one.locked() for _, one in sorted(chosen.items()))


def _met(relation: Relation, chosen: dict[str, Candidate]) -> bool:
    one = chosen.get(relation.name)
    if one is not None and relation.accepts(one.version):
        return True
    return any(_provides(other, relation) for other in chosen.values())


def _provides(candidate: Candidate, relation: Relation) -> bool:
    return any(
        provided.name == relation.name and relation.provided_by(provided.version or None)
        for group in parse_relations(candidate.fields.get("Provides", ""))
        for provided in group
    )


def _pick(relation: Relation, universe: Universe) -> Candidate | None:
    for candidate in universe.candidates(relation.name)[:1]:
        if relation.accepts(candidate.version):
            return candidate
    willing = [
        universe.candidates(name)[0]
        for name, version in universe.providers.get(relation.name, ())
        if relation.provided_by(version)
    ]
    return min(willing, key=lambda one: (_rank(one), one.name), default=None)


def _rank(candidate: Candidate) -> int:
    priority = candidate.fields.get("Priority", "optional")
    return _PRIORITIES.index(priority) if priority in _PRIORITIES else len(_PRIORITIES)


def _refuse_conflicts(chosen: dict[str, Candidate]) -> None:
    for candidate in chosen.values():
        for field in ("Conflicts", "Breaks"):
            for relation, *_ in parse_relations(candidate.fields.get(field, "")):
                other = chosen.get(relation.name)
                if other is not None and other is not candidate and relation.accepts(other.version):
                    raise DefinitionError(
                        f"'{candidate.name}' and '{other.name}' exclude each other ({field}: {relation})",
                        where="zaffre.toml: seed.packages",
                        resolution="list only what the solver needs there: apt",
                    )
