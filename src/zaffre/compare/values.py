# SPDX-License-Identifier: Apache-2.0
"""What has a name and a value, before and after: accounts, privileged files, units, settings, artifacts. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zaffre.compare.report import ArtifactChange, ValueChange
from zaffre.definition.explain import Explained
from zaffre.manifest import Artifact
from zaffre.tree import Inventory
from zaffre.upstream import Users

_FOR_PEOPLE = frozenset({"description", "extends", "profiles"})
"""How a value got into an image, and words about it, make no other image."""


def changes(
    before: Mapping[str, str], after: Mapping[str, str], *, why: Mapping[str, str] | None = None
) -> tuple[ValueChange, ...]:
    """By name, what only one has or both have differently."""
    return tuple(
        ValueChange(name=name, old=before.get(name), new=after.get(name), why=(why or {}).get(name))
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    )


def account_changes(old: Users, new: Users) -> tuple[ValueChange, ...]:
    return changes(_accounts(old), _accounts(new))


def _accounts(users: Users) -> dict[str, str]:
    found = {f"user {one.name}": f"uid {one.uid}, gid {one.gid}, {one.shell}, {one.home}" for one in users.users}
    for group in users.groups:
        members = f", members {' '.join(group.members)}" if group.members else ""
        found[f"group {group.name}"] = f"gid {group.gid}{members}"
    return found


def privileged(inventory: Inventory) -> dict[str, str]:
    """Files that give their caller rights, by path. Capabilities by their numbers (linux/capability.h)."""
    found = {}
    for one in inventory.privileged:
        capabilities = f", capabilities {' '.join(map(str, one.capabilities))}" if one.capabilities else ""
        found[one.path] = f"{one.mode} {one.owner}{capabilities}"
    return found


def listening(inventory: Inventory) -> dict[str, str]:
    """Socket units: where they listen, and whether they do so from boot on."""
    return {
        one.name: f"{', '.join(one.listens)}, {'at boot' if one.enabled else 'not at boot'}"
        for one in inventory.listening
    }


def units(inventory: Inventory) -> dict[str, str]:
    return {name: str(state) for name, state in inventory.units.items()}


def command_line(inventory: Inventory) -> dict[str, str]:
    """Arguments by name, all values of one that is there several times; "set" for one without a value."""
    found: dict[str, str] = {}
    for argument in inventory.command_line:
        name, equals, value = argument.partition("=")
        word = value if equals else "set"
        found[name] = f"{found[name]} {word}" if name in found else word
    return found


def present(names: Sequence[str]) -> dict[str, str]:
    return dict.fromkeys(names, "present")


def artifact_changes(old: Mapping[str, Artifact], new: Mapping[str, Artifact]) -> tuple[ArtifactChange, ...]:
    return tuple(
        ArtifactChange(
            name=name,
            old_bytes=old[name].size if name in old else None,
            new_bytes=new[name].size if name in new else None,
            old_sha256=old[name].sha256 if name in old else None,
            new_sha256=new[name].sha256 if name in new else None,
        )
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    )


def setting_changes(old: Sequence[Explained], new: Sequence[Explained]) -> tuple[ValueChange, ...]:
    """What the definition says of two images, with the file that says it. An item of a list is there or not."""
    before, after = _settings(old), _settings(new)
    origins = {name: origin for side in (before, after) for name, (_, origin) in side.items()}
    return changes(
        {name: value for name, (value, _) in before.items()},
        {name: value for name, (value, _) in after.items()},
        why=origins,
    )


def _settings(rows: Sequence[Explained]) -> dict[str, tuple[str, str]]:
    found = {}
    for row in rows:
        if row.key.partition("[")[0] in _FOR_PEOPLE:
            continue
        where = f"{row.origin}: {row.origin_key}" if row.origin_key else row.origin
        if row.key.endswith("]"):
            found[f"{row.key.rpartition('[')[0]} {row.value}"] = "present", where
        else:
            found[row.key] = str(row.value), where
    return found
