# SPDX-License-Identifier: Apache-2.0
"""The paths of two inventories side by side, and their changes by package and by folder. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import PurePosixPath

from zaffre.compare.report import ChangeKind, FileChange, Group
from zaffre.tree import Inventory
from zaffre.tree.listing import Content

GENERATED = "made by the build or by a package's script"
KERNEL = "<kernel>"
"""What stands for a kernel's version in a path, so that a newer kernel's modules are the same files changed."""

_MODULES = "/usr/lib/modules/"


def file_changes(old: Inventory, new: Inventory) -> tuple[FileChange, ...]:
    """By path. Folders count too: who may write to one is worth knowing."""
    before, after = _by_path(old), _by_path(new)
    return tuple(
        _change(path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if _identity(before.get(path)) != _identity(after.get(path))
    )


def module_names(inventory: Inventory) -> tuple[str, ...]:
    """Names of the kernel modules, `_` for `-` as the kernel has them."""
    names = (PurePosixPath(one.path).name for one in inventory.content if one.path.startswith(_MODULES))
    return tuple(sorted({name.partition(".ko")[0].replace("-", "_") for name in names if ".ko" in name}))


def by_origin(changes: Iterable[FileChange]) -> tuple[Group, ...]:
    return _groups(changes, lambda change: change.origin)


def by_folder(changes: Iterable[FileChange]) -> tuple[Group, ...]:
    """As an inventory's folders: two levels below /usr, one elsewhere."""
    return _groups(changes, lambda change: _folder(change.path))


def _folder(path: str) -> str:
    parts = path.split("/")[1:-1]
    return "/" + "/".join(parts[:2] if parts[:1] == ["usr"] else parts[:1])


def _by_path(inventory: Inventory) -> dict[str, Content]:
    """A tree of one kernel has its version replaced; one of several has all names as they are."""
    prefix = f"{_MODULES}{inventory.kernels[0]}" if len(inventory.kernels) == 1 else None
    if prefix is None:
        return {one.path: one for one in inventory.content}
    return {_without_version(one.path, prefix): one for one in inventory.content}


def _without_version(path: str, prefix: str) -> str:
    if path == prefix or path.startswith(f"{prefix}/"):
        return f"{_MODULES}{KERNEL}{path[len(prefix) :]}"
    return path


def _identity(one: Content | None) -> tuple[str, str, str | None, str | None] | None:
    return (one.mode, one.owner, one.sha256, one.target) if one else None


def _change(path: str, old: Content | None, new: Content | None) -> FileChange:
    one = new or old
    if one is None:
        raise ValueError("one of two paths must be there")
    kind = ChangeKind.ADDED if old is None else ChangeKind.REMOVED if new is None else ChangeKind.CHANGED
    return FileChange(
        path=path,
        change=kind,
        old_bytes=old.bytes if old else 0,
        new_bytes=new.bytes if new else 0,
        how=tuple(_how(old, new)) if old and new else (),
        origin=_origin(one),
    )


def _how(old: Content, new: Content) -> Sequence[str]:
    kinds = _kind(old), _kind(new)
    if kinds[0] != kinds[1]:
        return [f"{kinds[0]} -> {kinds[1]}"]
    ways = ["content"] if old.sha256 != new.sha256 else []
    for word, before, after in (
        ("mode", old.mode, new.mode),
        ("owner", old.owner, new.owner),
        ("target", old.target, new.target),
    ):
        if before != after:
            ways.append(f"{word} {before} -> {after}")
    return ways


def _kind(one: Content) -> str:
    return "file" if one.sha256 is not None else "link" if one.target is not None else "folder"


def _origin(one: Content) -> str:
    if one.tree is not None:
        return f"tree {one.tree}"
    if one.package is not None:
        return one.package
    return "folders" if _kind(one) == "folder" else GENERATED


def _groups(changes: Iterable[FileChange], name_of: Callable[[FileChange], str]) -> tuple[Group, ...]:
    groups: dict[str, list[FileChange]] = {}
    for change in changes:
        groups.setdefault(name_of(change), []).append(change)
    rows = [
        Group(
            name=name,
            added=_count(members, ChangeKind.ADDED),
            removed=_count(members, ChangeKind.REMOVED),
            changed=_count(members, ChangeKind.CHANGED),
            growth=sum(one.growth for one in members),
        )
        for name, members in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-abs(row.growth), row.name)))


def _count(members: Sequence[FileChange], kind: ChangeKind) -> int:
    return sum(one.change is kind for one in members)


def origins(inventory: Inventory) -> Mapping[str, str]:
    """Where each path comes from."""
    return {one.path: _origin(one) for one in inventory.content}
