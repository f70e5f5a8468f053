# SPDX-License-Identifier: Apache-2.0
"""Which systemd units of a root file tree exist, and which are on."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path

from zaffre.definition import Units
from zaffre.errors import DefinitionError
from zaffre.sandbox import Mount, Sandbox
from zaffre.tree.rootfs import inside, read_text

FOLDERS = ("etc/systemd/system", "usr/local/lib/systemd/system", "usr/lib/systemd/system")
"""Where units lie that an image brings, the strongest first (systemd.unit(5), "Unit file load path")."""
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
    if name in known or _template(name) in known:
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
    links = _links(root)
    linked = frozenset(name for names in links.values() for name in names)
    pulled = linked | _started(root, links)
    return {name: _state(root, name, pulled) for name in sorted(unit_names(root) | pulled)}


def unit_lines(root: Path, name: str) -> Iterator[tuple[str, str]]:
    """Keys and values of a unit, whatever their section, and then of its drop-ins, in the order in which they count. An
    instance has the file and the drop-ins of its template, too. Of one that is masked or not there, there are none.
    """
    path = _unit_file(root, name)
    if path is None or not inside(root, path).is_file():
        return
    for one in (path, *_drop_ins(root, name)):
        for line in read_text(root, one).replace("\\\n", " ").splitlines():
            key, equals, value = line.partition("=")
            if equals:
                yield key.strip(), value.strip()


def _unit_file(root: Path, name: str) -> str | None:
    """The file or link that counts: of the unit's own name before that of its template."""
    for one in dict.fromkeys((name, _template(name))):
        for folder in FOLDERS:
            place = inside(root, f"{folder}/{one}", follow=False)
            if place.is_symlink() or place.is_file():
                return f"{folder}/{one}"
    return None


def _drop_ins(root: Path, name: str) -> tuple[str, ...]:
    """In the order of their names; of those of one name the first folder's counts, and none if that is masked."""
    found: dict[str, str] = {}
    for one in dict.fromkeys((name, _template(name), name.rpartition(".")[2])):
        for folder in FOLDERS:
            for path in _below(inside(root, f"{folder}/{one}.d"), "*.conf"):
                found.setdefault(path.name, f"{folder}/{one}.d/{path.name}")
    return tuple(path for _, path in sorted(found.items()) if inside(root, path).is_file())


def _template(name: str) -> str:
    """That of an instance; any other unit is its own."""
    stem, at, rest = name.partition("@")
    return f"{stem}@{rest[rest.rfind('.') :]}" if at else name


def _links(root: Path) -> dict[str, set[str]]:
    """What links of the tree have a unit pull in, by its name."""
    found: dict[str, set[str]] = {}
    for folder in FOLDERS:
        for kind in _PULLS:
            for link in _below(inside(root, folder), f"*.{kind}/*"):
                if link.is_symlink():
                    found.setdefault(link.parent.name.removesuffix(f".{kind}"), set()).add(link.name)
    return found


def _started(root: Path, links: Mapping[str, Collection[str]]) -> frozenset[str]:
    """What a boot starts that the tree has: the default target, and what that pulls in, by links or by lines of targets
    and their drop-ins. A target that a timer is for is a later part of the boot. What services ask for themselves, such
    as kernel modules, does not count.
    """
    found: set[str] = set()
    todo = [_default_target(root)]
    while todo:
        name = todo.pop()
        if name in found or _unit_file(root, name) is None or _is_masked(root, name):
            continue
        found.add(name)
        todo += links.get(name, ())
        for key, value in unit_lines(root, name):
            if name.endswith(".target") and key.lower() in _PULLS:
                todo += value.split()
            elif name.endswith(".timer") and key == "Unit" and value.endswith(".target"):
                todo.append(value)
    return frozenset(found)


def _default_target(root: Path) -> str:
    return _link(root, "default.target").rpartition("/")[2] or "default.target"


def _is_masked(root: Path, name: str) -> bool:
    return _link(root, name) == "/dev/null"


def _link(root: Path, name: str) -> str:
    """Where the unit's file leads, if it is a link; else ""."""
    path = _unit_file(root, name)
    place = None if path is None else inside(root, path, follow=False)
    return str(place.readlink()) if place is not None and place.is_symlink() else ""


def _state(root: Path, name: str, pulled: Collection[str]) -> UnitState:
    if _is_masked(root, name):
        return UnitState.MASKED
    return UnitState.ENABLED if name in pulled else UnitState.DISABLED


def _below(folder: Path, pattern: str) -> Sequence[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []
