# SPDX-License-Identifier: Apache-2.0
"""Which systemd units of a root file tree exist, and which are on."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from enum import StrEnum
from pathlib import Path

from zaffre.definition import Units
from zaffre.errors import DefinitionError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.rootfs import inside

FOLDERS = ("etc/systemd/system", "usr/lib/systemd/system")
_PULLS = ("wants", "requires", "upholds")
_TARGET = "/run/target"
_SECONDS = 120.0
_ENVIRONMENT = {"SYSTEMCTL_SKIP_SYSV": "1"}
"""systemd's docs/ENVIRONMENT.md. It is a program of the tree, which is not always one that this machine runs."""


def unit_names(root: Path) -> frozenset[str]:
    """Every unit file and alias of the tree, masked ones too."""
    names: set[str] = set()
    for folder in FOLDERS:
        place = inside(root, folder)
        if place.is_dir():
            names.update(path.name for path in place.iterdir() if path.is_symlink() or path.is_file())
    return frozenset(names)


def apply_units(root: Path, units: Units, *, sandbox: Sandbox) -> None:
    """Disable, enable and mask, by systemctl(1) itself, and write a preset that says the same. What it would have the
    tree's own update-rc.d say of scripts for another init is left as the packages made it.

    The preset matters where systemd takes a boot for the first one, as after a factory reset. Raises
    DefinitionError for a unit that the tree does not have.
    """
    known = unit_names(root)
    for key, names in (("enable", units.enable), ("disable", units.disable), ("mask", units.mask)):
        for number, name in enumerate(names):
            _require(name, known, where=f"units.{key}[{number}]")
    _require(units.default_target, known, where="units.default_target")
    for command, names in (
        ("disable", units.disable),
        ("enable", units.enable),
        ("mask", units.mask),
        ("set-default", (units.default_target,)),
    ):
        if names:
            sandbox.run(
                ["systemctl", f"--root={_TARGET}", "--quiet", command, *names],
                mounts=[Mount(root, _TARGET, writable=True)],
                env=_ENVIRONMENT,
                timeout=_SECONDS,
            )


def preset(units: Units) -> str:
    """The preset of these units (systemd.preset(5))."""
    lines = [f"enable {name}" for name in units.enable] + [f"disable {name}" for name in (*units.disable, *units.mask)]
    return "".join(f"{line}\n" for line in lines)


def _require(name: str, known: frozenset[str], *, where: str) -> None:
    stem, at, rest = name.partition("@")
    template = f"{stem}@{rest[rest.rfind('.') :]}" if at else name
    if name in known or template in known:
        return
    near = difflib.get_close_matches(name, known, n=3)
    raise DefinitionError(
        f"the image has no unit {name}",
        where=where,
        resolution=f"did you mean {' or '.join(near)}?" if near else "add the package that brings it to `packages`",
    )


class UnitState(StrEnum):
    """`enabled`: something in the tree pulls the unit in at boot, and it is not masked; `disabled`: nothing does."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    MASKED = "masked"


def unit_states(root: Path) -> dict[str, UnitState]:
    """The state of every unit file and alias of the tree, and of every instance that is pulled in, by name."""
    pulled = {
        link.name
        for folder in FOLDERS
        for kind in _PULLS
        for link in _below(inside(root, folder), f"*.{kind}/*")
        if link.is_symlink()
    }
    return {name: _state(root, name, pulled) for name in sorted(unit_names(root) | pulled)}


def _state(root: Path, name: str, pulled: Collection[str]) -> UnitState:
    places = (inside(root, f"{folder}/{name}", follow=False) for folder in FOLDERS)
    if any(place.is_symlink() and str(place.readlink()) == "/dev/null" for place in places):
        return UnitState.MASKED
    return UnitState.ENABLED if name in pulled else UnitState.DISABLED


def _below(folder: Path, pattern: str) -> Sequence[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []
