# SPDX-License-Identifier: Apache-2.0
"""What changed between two locks, as values that the command line puts into words. Sizes in bytes to download."""

from __future__ import annotations

from dataclasses import dataclass

from zaffre.upstream.lock import Lock, LockedPackage, LockedSet, LockedSuite


@dataclass(frozen=True)
class Change:
    """One package of a set before and after: added (`old` is None), removed (`new` is None), or another version."""

    old: LockedPackage | None
    new: LockedPackage | None

    @property
    def name(self) -> str:
        one = self.new or self.old
        if one is None:
            raise AssertionError
        return one.name

    @property
    def size(self) -> int:
        """Growth."""
        return (self.new.size if self.new else 0) - (self.old.size if self.old else 0)

    def __str__(self) -> str:
        match self.old, self.new:
            case LockedPackage(), LockedPackage():
                if self.old.version == self.new.version:
                    return f"{self.name} {self.new.version} (another file)"
                return f"{self.name} {self.old.version} -> {self.new.version}"
            case None, LockedPackage():
                return f"+ {self.name} {self.new.version}"
            case _:
                return f"- {self.name} {self.old.version if self.old else ''}"


@dataclass(frozen=True)
class SetDiff:
    """Changes of one set. `added` and `removed` say that the set itself is new or gone."""

    name: str
    architecture: str
    changes: tuple[Change, ...]
    old_size: int
    new_size: int
    packages: int
    added: bool = False
    removed: bool = False
    users_changed: bool = False

    def __bool__(self) -> bool:
        return bool(self.changes) or self.added or self.removed or self.users_changed


@dataclass(frozen=True)
class LockDiff:
    """All changes; false when both locks hold the same packages and ids. `suites`: (old, new) where a date moved."""

    sets: tuple[SetDiff, ...]
    suites: tuple[tuple[LockedSuite | None, LockedSuite | None], ...]

    def __bool__(self) -> bool:
        return any(self.sets)


def diff_locks(old: Lock | None, new: Lock) -> LockDiff:
    """From `old` (None: there was none) to `new`; a set without changes is listed too, for its size."""
    before = {one.key: one for one in old.sets} if old else {}
    after = {one.key: one for one in new.sets}
    sets = [_diff(before.get(key), after.get(key)) for key in sorted(before.keys() | after.keys(), key=_tools_first)]
    old_suites = {one.key: one for one in old.suites} if old else {}
    new_suites = {one.key: one for one in new.suites}
    suites = [
        (old_suites.get(key), new_suites.get(key))
        for key in sorted(old_suites.keys() | new_suites.keys())
        if old_suites.get(key) != new_suites.get(key)
    ]
    return LockDiff(tuple(sets), tuple(suites))


def _tools_first(key: tuple[str, str]) -> tuple[bool, str, str]:
    return key[0] != "tools", *key


def _diff(old: LockedSet | None, new: LockedSet | None) -> SetDiff:
    one = new or old
    if one is None:
        raise AssertionError
    before = {package.key: package for package in old.packages} if old else {}
    after = {package.key: package for package in new.packages} if new else {}
    changes = [
        Change(before.get(key), after.get(key))
        for key in sorted(before.keys() | after.keys())
        if _identity(before.get(key)) != _identity(after.get(key))
    ]
    return SetDiff(
        name=one.name,
        architecture=one.architecture,
        changes=tuple(changes),
        old_size=old.size if old else 0,
        new_size=new.size if new else 0,
        packages=len(after),
        added=old is None,
        removed=new is None,
        users_changed=bool(old and new and old.users != new.users),
    )


def _identity(package: LockedPackage | None) -> tuple[str, str] | None:
    return (package.version, package.sha256) if package else None
