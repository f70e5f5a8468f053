# SPDX-License-Identifier: Apache-2.0
"""Two sets of packages side by side. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from zaffre.compare.report import ChangeKind, PackageChange, SetChanges
from zaffre.compare.subject import Package, PackageSet, Subject
from zaffre.compare.values import account_changes
from zaffre.compare.why import Knowledge, why_added, why_changed, why_removed

Measure = Literal["download", "image"]


def compare_sets(
    one: PackageSet | None,
    other: PackageSet | None,
    sides: tuple[Subject, Subject],
    knowledge: tuple[Knowledge, Knowledge],
) -> SetChanges:
    """From `one` to `other`; None stands for a set that a side has not got. `knowledge` is of both sides' sets."""
    known = other or one
    if known is None:
        raise ValueError("one of two sets must be there")
    name = known.name if one is None or other is None or one.name == other.name else f"{one.name} -> {other.name}"
    before = dict(one.packages) if one else {}
    after = dict(other.packages) if other else {}
    measure = _measure(one, other)
    left = {name for name, _ in after}
    changes = [
        _change(before.get(key), after.get(key), measure, sides, knowledge, left=left)
        for key in sorted(before.keys() | after.keys())
        if _identity(before.get(key)) != _identity(after.get(key))
    ]
    old_accounts, new_accounts = one.accounts if one else None, other.accounts if other else None
    return SetChanges(
        name=name,
        architecture=known.architecture,
        missing="A" if one is None else "B" if other is None else None,
        old_packages=len(before),
        new_packages=len(after),
        measure=measure,
        old_bytes=_total(one, measure),
        new_bytes=_total(other, measure),
        packages=tuple(changes),
        accounts=account_changes(old_accounts, new_accounts)
        if old_accounts is not None and new_accounts is not None
        else (),
    )


def size_of(package: Package | None, measure: Measure | None) -> int | None:
    if package is None or measure is None:
        return None
    return package.download if measure == "download" else package.installed


def _measure(*sets: PackageSet | None) -> Measure | None:
    """What both sides can tell."""
    packages = [package for one in sets if one for package in one.packages.values()]
    if packages and all(package.installed is not None for package in packages):
        return "image"
    return "download" if packages and all(package.download is not None for package in packages) else None


def _total(one: PackageSet | None, measure: Measure | None) -> int | None:
    if measure is None:
        return None
    return sum(size_of(package, measure) or 0 for package in one.packages.values()) if one else 0


def _identity(package: Package | None) -> tuple[str, str] | None:
    return (package.version, package.sha256) if package else None


def _change(
    old: Package | None,
    new: Package | None,
    measure: Measure | None,
    sides: tuple[Subject, Subject],
    knowledge: tuple[Knowledge, Knowledge],
    *,
    left: Collection[str],
) -> PackageChange:
    one = new or old
    if one is None:
        raise ValueError("one of two packages must be there")
    if old is None:
        kind, why = ChangeKind.ADDED, tuple(why_added(one, knowledge[1]))
    elif new is None:
        kind, why = ChangeKind.REMOVED, tuple(why_removed(one, *knowledge, left=left))
    else:
        kind = ChangeKind.REBUILT if old.version == new.version else ChangeKind.CHANGED
        why = tuple(why_changed(old, new, *sides))
    return PackageChange(
        name=one.name,
        architecture=one.architecture,
        change=kind,
        old_version=old.version if old else None,
        new_version=new.version if new else None,
        old_bytes=size_of(old, measure),
        new_bytes=size_of(new, measure),
        source=one.source,
        old_origin=old.origin if old else None,
        origin=one.origin,
        why=why,
    )
