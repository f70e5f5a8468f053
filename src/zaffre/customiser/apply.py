# SPDX-License-Identifier: Apache-2.0
"""Changes applied to a tree that an image was unpacked to: by the functions that apply a definition to one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from zaffre.customiser.changes import Changes, ChangesFile
from zaffre.definition import Units
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox
from zaffre.tree import SetuidPolicy
from zaffre.tree.customise import make_users
from zaffre.tree.overlay import give_owners, lay_files, lay_tree
from zaffre.tree.rootfs import inside, remove, walk
from zaffre.tree.units import apply_units, preset

USERS = "usr/lib/sysusers.d/00-customised.conf"
_SYSCTL = "usr/lib/sysctl.d/99-zz-customised.conf"
_PRESET = "usr/lib/systemd/system-preset/00-customised.preset"
_DEFAULT_TARGETS = ("etc/systemd/system/default.target", "usr/lib/systemd/system/default.target")
_LEFT = ("passwd-", "group-", "shadow-", "gshadow-", "subuid-", "subgid-", ".pwd.lock")
"""What systemd-sysusers leaves in /etc: backups and a lock."""


def settings_files(changes: Changes) -> Mapping[str, str]:
    """Files that stand for single settings, by relative path. They sort so that they win over the image's own. Pure."""
    files = {}
    if changes.hostname:
        files["etc/hostname"] = f"{changes.hostname}\n"
    if changes.sysctl:
        files[_SYSCTL] = "".join(f"{key} = {value}\n" for key, value in changes.sysctl.items())
    if text := preset(_units(changes, "")):
        files[_PRESET] = text
    return files


@contextmanager
def named(file: ChangesFile) -> Iterator[None]:
    """Errors about a key say in which file it is."""
    try:
        yield
    except DefinitionError as error:
        error.where = f"{file.path.name}: {error.where}"
        raise


def apply_changes(root: Path, file: ChangesFile, *, epoch: int, sandbox: Sandbox) -> None:
    """Make the tree what the changes ask for: files, settings, users, owners, units, in this order.

    Raises DefinitionError for what they ask in vain.
    """
    changes = file.changes
    with named(file):
        for tree in changes.files.trees:
            lay_tree(root, file.root / tree)
        lay_files(root, settings_files(changes))
        if changes.users:
            kept = {name for name in _LEFT if inside(root, f"etc/{name}").exists()}
            make_users(root, changes.users, epoch=epoch, sandbox=sandbox, configuration=USERS)
            for name in _LEFT:
                if name not in kept:
                    remove(inside(root, f"etc/{name}", follow=False))
        give_owners(root, changes.files.owners, setuid=SetuidPolicy(allow=changes.setuid.allow))
        units = changes.units
        if units.enable or units.disable or units.mask or units.default_target:
            apply_units(root, _units(changes, _default_target(root)), sandbox=sandbox)


def refuse_var(file: ChangesFile) -> None:
    """Raise DefinitionError for files below /var, which a sealed image does not have: a machine makes its own."""
    for number, tree in enumerate(file.changes.files.trees):
        found = next((path for path, _ in walk(file.root / tree, "var")), None)
        if found is not None:
            raise file.refuse(
                f"files.trees[{number}]",
                f"/{found} would not be seen: /var of a sealed image is made by each machine at its first start",
                "lay the file below /usr/share/factory, and a line for it in usr/lib/tmpfiles.d (tmpfiles.d(5), 'C')",
            )


def _units(changes: Changes, target: str) -> Units:
    units = changes.units
    return Units(
        enable=units.enable,
        disable=units.disable,
        mask=units.mask,
        default_target=units.default_target or target or "multi-user.target",
    )


def _default_target(root: Path) -> str:
    for path in _DEFAULT_TARGETS:
        place = inside(root, path, follow=False)
        if place.is_symlink():
            return place.readlink().name
    return ""
