# SPDX-License-Identifier: Apache-2.0
"""Which packages come, go and change between two locked sets. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from zaffre.errors import DefinitionError
from zaffre.tree.deb.model import PackageIndex
from zaffre.upgrade.model import Move, MoveKind, Room
from zaffre.upstream.deb.control import parse_relations
from zaffre.upstream.deb.version import version_key
from zaffre.upstream.lock import Lock, LockedPackage, LockedSet

_KERNEL = re.compile(r"boot/vmlinuz-.|usr/lib/modules/[^/]+/vmlinuz$")
_COMING = frozenset({MoveKind.ADDED, MoveKind.UPGRADED, MoveKind.DOWNGRADED})
_LEAVING = frozenset({MoveKind.REMOVED, MoveKind.UPGRADED, MoveKind.DOWNGRADED})
_REPLACING = ("Replaces", "Provides")


def comparable(old: Lock, new: Lock, image: str, architecture: str) -> tuple[LockedSet, LockedSet]:
    """The image's set in both locks. Raises DefinitionError for locks between which there is no upgrade."""
    if old.distribution != new.distribution:
        raise DefinitionError(
            f"the locks are of two distributions, '{old.distribution}' and '{new.distribution}'",
            where="OLD NEW",
            resolution="a machine is upgraded to a lock of its own distribution; install another one instead",
        )
    sets = old.set(image, architecture), new.set(image, architecture)
    if sets[0].upstream != sets[1].upstream:
        raise DefinitionError(
            f"'{image}' is of two upstreams, '{sets[0].upstream}' in the old lock and '{sets[1].upstream}' in the new",
            where="OLD NEW",
            resolution="packages of one upstream do not upgrade those of another; install the machine anew",
        )
    return sets


def moves_between(
    old: LockedSet, new: LockedSet, before: Mapping[str, PackageIndex], after: Mapping[str, PackageIndex]
) -> tuple[Move, ...]:
    """All that differs, by name. `before` and `after` are the unpacked packages, by name."""
    mine, yours = {one.name: one for one in old.packages}, {one.name: one for one in new.packages}
    replacing = _replacing(after)
    found = []
    for name in sorted(mine.keys() | yours.keys()):
        was, now = mine.get(name), yours.get(name)
        kind = _kind(was, now, before)
        if kind is not None:
            found.append(
                Move(
                    name=name,
                    kind=kind,
                    old_version=was.version if was else None,
                    new_version=now.version if now else None,
                    replaced_by=tuple(sorted(replacing.get(name, set()))) if now is None else (),
                )
            )
    return tuple(found)


def room_needed(
    moves: Iterable[Move], new: LockedSet, before: Mapping[str, PackageIndex], after: Mapping[str, PackageIndex]
) -> Room:
    """By the sizes of files, and by what packages say they take (Debian policy 5.6.20, Installed-Size)."""
    sizes = {one.name: one.size for one in new.packages}
    coming = [move.name for move in moves if move.kind in _COMING]
    leaving = [move.name for move in moves if move.kind in _LEAVING]
    grows = sum(_kib(after[name]) for name in coming) - sum(_kib(before[name]) for name in leaving)
    return Room(download=sum(sizes[name] for name in coming), grows=1024 * grows)


def _kib(index: PackageIndex) -> int:
    return int(index.fields.get("Installed-Size", "0"))


def is_kernel(index: PackageIndex) -> bool:
    return any(_KERNEL.match(member.path) for member in index.members)


def is_essential(index: PackageIndex) -> bool:
    """Whether apt takes it away only if it is told to (apt-get(8), --allow-remove-essential)."""
    return any(index.fields.get(field) == "yes" for field in ("Essential", "Protected", "Important"))


def _kind(was: LockedPackage | None, now: LockedPackage | None, before: Mapping[str, PackageIndex]) -> MoveKind | None:
    if was is None:
        return MoveKind.ADDED
    if now is None:
        return MoveKind.KEPT if is_kernel(before[was.name]) else MoveKind.REMOVED
    if was.version == now.version:
        return None if was.sha256 == now.sha256 else MoveKind.REBUILT
    return kind_between(was.version, now.version)


def kind_between(old: str, new: str) -> MoveKind | None:
    """How a package goes from one version to the other; None if they are the same."""
    if old == new:
        return None
    return MoveKind.UPGRADED if version_key(old) < version_key(new) else MoveKind.DOWNGRADED


def _replacing(after: Mapping[str, PackageIndex]) -> dict[str, set[str]]:
    """By the name of a package, those of the new set that state to stand in its place (Debian policy 7.6)."""
    found: dict[str, set[str]] = {}
    for name, index in after.items():
        for field in _REPLACING:
            for group in parse_relations(index.fields.get(field, "")):
                for relation in group:
                    found.setdefault(relation.name, set()).add(name)
    return found
