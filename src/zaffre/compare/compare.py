# SPDX-License-Identifier: Apache-2.0
"""Two subjects compared at the level that both have. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from zaffre.compare import values
from zaffre.compare.alerts import alerts
from zaffre.compare.files import by_folder, by_origin, file_changes, module_names
from zaffre.compare.packages import compare_sets
from zaffre.compare.read import alone
from zaffre.compare.report import ArtifactChange, Comparison, Details, SetChanges, SideKind
from zaffre.compare.subject import PackageSet, Subject
from zaffre.compare.why import NOTHING, Knowledge
from zaffre.definition.explain import Explained
from zaffre.tree import Inventory

Learn = Callable[[Subject, PackageSet], Knowledge]
"""What is known of a side's set; asked only for sets in which packages come or go."""


def nothing_known(_: Subject, __: PackageSet) -> Knowledge:
    return NOTHING


def compare(
    one: Subject,
    other: Subject,
    *,
    learn: Learn = nothing_known,
    settings: tuple[Sequence[Explained], Sequence[Explained]] | None = None,
) -> Comparison:
    """From `one` to `other`. `settings` are what the definition says of two of its images.

    Raises DefinitionError when a lock has no set that the other side could be compared with.
    """
    sets = tuple(_sets(one, other, learn))
    return Comparison(
        a=one.side,
        b=other.side,
        left_out=_left_out(one, other),
        alerts=tuple(alerts(one, other, sets)),
        sets=sets,
        settings=values.setting_changes(*settings) if settings else (),
        details=inventory_details(one.inventory, other.inventory) if one.inventory and other.inventory else None,
        artifacts=_artifacts(one, other),
    )


def _sets(one: Subject, other: Subject, learn: Learn) -> Iterator[SetChanges]:
    """Both sides' only sets with each other, whatever they are called; else sets of the same name."""
    mine, yours = one.single, other.single
    if mine is not None or yours is not None:
        chosen = mine or yours
        if chosen is None:
            raise ValueError("one of two sets must be there")
        pairs = [(alone(one, chosen).single, alone(other, chosen).single)]
    else:
        keys = sorted(one.sets.keys() | other.sets.keys(), key=lambda key: (key[0] != "tools", *key))
        pairs = [(one.sets.get(key), other.sets.get(key)) for key in keys]
    for before, after in pairs:
        moves = before is not None and after is not None and before.packages.keys() != after.packages.keys()
        known = (
            learn(one, before) if moves and before else NOTHING,
            learn(other, after) if moves and after else NOTHING,
        )
        yield compare_sets(before, after, (one, other), known)


def _left_out(one: Subject, other: Subject) -> str | None:
    """Why there is more to compare than was compared."""
    if SideKind.BUILD not in (one.side.kind, other.side.kind):
        return "Neither is a build: they say which packages, not what an image makes of them"
    reasons = []
    for letter, subject in (("A", one), ("B", other)):
        if subject.side.kind is not SideKind.BUILD:
            reasons.append(f"{letter} is no build: it says which packages, not what an image makes of them")
        elif subject.inventory is None:
            reasons.append(f"{letter} {subject.why_not}")
    return "; ".join(reasons) or None


def inventory_details(old: Inventory, new: Inventory) -> Details:
    """What only the inventories of two trees can tell."""
    files = file_changes(old, new)
    return Details(
        files=files,
        by_origin=by_origin(files),
        by_folder=by_folder(files),
        privileged=values.changes(values.privileged(old), values.privileged(new)),
        listening=values.changes(values.listening(old), values.listening(new)),
        units=values.changes(values.units(old), values.units(new)),
        sysctl=values.changes(old.sysctl, new.sysctl),
        command_line=values.changes(values.command_line(old), values.command_line(new)),
        kernels=values.changes(values.present(old.kernels), values.present(new.kernels)),
        modules=values.changes(values.present(module_names(old)), values.present(module_names(new))),
    )


def _artifacts(one: Subject, other: Subject) -> tuple[ArtifactChange, ...]:
    if one.manifest is None or other.manifest is None:
        return ()
    return values.artifact_changes(one.manifest.artifacts, other.manifest.artifacts)
