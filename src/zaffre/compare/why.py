# SPDX-License-Identifier: Apache-2.0
"""Why a package is another one: from what both locks state, and what is known besides of the sets."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from zaffre.compare.subject import Package, Subject
from zaffre.upstream import COMPONENTS, Lock, LockedComponent, Outcome

_MOST_NAMED = 3


@dataclass(frozen=True)
class Knowledge:
    """What can be said of one side's set besides its packages.

    `asked` tells, by a package's name, where the definition asks for it; None if the definition is not this side's.
    `dependants` are those that need a package, as far as that is known.
    """

    asked: Mapping[str, str] | None = None
    dependants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


NOTHING = Knowledge()


def why_added(package: Package, after: Knowledge) -> Iterator[str]:
    if after.asked is not None and package.name in after.asked:
        yield f"asked for by {after.asked[package.name]}"
    elif by := after.dependants.get(package.name):
        yield f"needed by {_some(by)}"
    elif after.asked is not None:
        yield "not asked for by name: another package of the set needs it"


def why_removed(package: Package, before: Knowledge, after: Knowledge, *, left: Collection[str]) -> Iterator[str]:
    """`left` are the names of what is still there."""
    by = before.dependants.get(package.name, ())
    if gone := tuple(name for name in by if name not in left):
        yield f"was needed by {_some(gone)}, which went too"
    if stays := tuple(name for name in by if name in left):
        yield f"was needed by {_some(stays)}, which now does without"
    if not by and after.asked is not None and package.name not in after.asked:
        yield "the definition does not ask for it"


def why_changed(old: Package, new: Package, before: Subject, after: Subject) -> Iterator[str]:
    """For a package that both sides have. What it says holds for the side `after` as seen from `before`."""
    ours = old.archive == COMPONENTS, new.archive == COMPONENTS
    match ours:
        case (False, True):
            yield f"built here now, as component {_component_name(after.lock, new)}"
        case (True, False):
            yield _inherited_again(after.lock, new)
        case (True, True):
            yield from _rebuilt(before.lock, after.lock, new)
        case _:
            yield from _moved(old, new, before.lock, after.lock)


def _moved(old: Package, new: Package, before: Lock | None, after: Lock | None) -> Iterator[str]:
    if old.archive is None or new.archive is None:
        return
    if old.origin != new.origin:
        yield f"the upstream's {new.origin} has it, before it was {old.origin}'s"
        return
    if old.version != new.version and old.source_version == new.source_version:
        yield f"the upstream built it anew from the same source, {new.source} {new.source_version}"
        return
    dates = [
        next((suite.date for suite in lock.suites if (suite.archive, suite.suite) == (new.archive, new.suite)), None)
        for lock in (before, after)
        if lock is not None
    ]
    moved = len(dates) == 2 and dates[0] is not None and dates[1] is not None and dates[0] != dates[1]
    yield f"the upstream moved: {new.origin}" + (f", {dates[0]:%Y-%m-%d} to {dates[1]:%Y-%m-%d}" if moved else "")


def _rebuilt(before: Lock | None, after: Lock | None, package: Package) -> Iterator[str]:
    old, new = _component(before, package), _component(after, package)
    if old is None or new is None:
        yield "built here"
        return
    if old.source.version != new.source.version:
        yield f"the source of component {new.name} moved, {old.source.version} to {new.source.version}"
    if old.key != new.key:
        yield f"component {new.name} changed: its definition, its overlays or their files"
    if old.source.version == new.source.version and old.key == new.key:
        yield f"component {new.name} was built with other packages"


def _inherited_again(after: Lock | None, package: Package) -> str:
    named = next(
        (one for one in (after.components if after else ()) if package.name in one.gives or one.name == package.source),
        None,
    )
    if named is not None and named.outcome is Outcome.UPSTREAM_BINARY and named.note:
        return f"the upstream's binary is taken: {named.note}"
    return "inherited from the upstream again, before it was built here"


def _component(lock: Lock | None, package: Package) -> LockedComponent | None:
    return next(
        (
            one
            for one in (lock.components if lock else ())
            if package.name in one.gives or any(built.package.name == package.name for built in one.packages)
        ),
        None,
    )


def _component_name(lock: Lock | None, package: Package) -> str:
    found = _component(lock, package)
    return found.name if found else package.source


def _some(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown
