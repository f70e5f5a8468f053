# SPDX-License-Identifier: Apache-2.0
"""Which services restart, which go on with old code, and what wants a reboot. Pure, but for unit files that are read.

Restarts are read out of the packages' scripts: the calls that debhelper writes (deb-systemd-invoke(1p)), systemctl and
invoke-rc.d. A restart that a script makes in another way is not seen; docs say so. Old code is judged by packages, as
needrestart(1) does by the files that processes have open: a service that is started and lasts, whose package, or a
library package that it depends on, changes without a restart.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from zaffre.tree.deb.model import Kind, Member, PackageIndex
from zaffre.upgrade.model import Move, MoveKind, Service
from zaffre.upgrade.moves import is_kernel
from zaffre.upstream.deb.control import parse_relations

_UNIT_FOLDERS = ("usr/lib/systemd/system/", "lib/systemd/system/")
_SUFFIXES = (".service", ".socket", ".timer", ".path", ".target", ".mount")
_CALL = re.compile(r"(?P<tool>deb-systemd-invoke|_?systemctl|invoke-rc\.d)\s+(?P<words>[^|;&<>\n]+)")
_ACTION = re.compile(r"_dh_action=['\"]?([a-z-]+)")
_RESTARTS = frozenset({"restart", "try-restart", "reload-or-restart", "reload-or-try-restart"})
_CHANGING = frozenset({MoveKind.UPGRADED, MoveKind.DOWNGRADED, MoveKind.REBUILT})
_COMING = _CHANGING | {MoveKind.ADDED}
_LIBRARY = re.compile(r"(?:usr/)?lib/(?:[^/]+/)?[^/]+\.so(?:\.|$)")
_PASSING = re.compile(r"^\s*Type\s*=\s*oneshot\s*$", re.MULTILINE)
_STARTED = re.compile(
    r"^\s*(?:WantedBy|RequiredBy|UpheldBy|Also|Alias|BusName)\s*=\s*\S|^\s*Type\s*=\s*dbus\s*$", re.MULTILINE
)
_WANTS = re.compile(r"(?:usr/)?lib/systemd/system/[^/]+\.(?:wants|requires|upholds)/(?P<unit>[^/]+)$")
_PRESETS = "usr/lib/systemd/system-preset/"

_REBOOT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?:usr/)?lib/systemd/systemd$"), "the system manager, which re-executes itself; a reboot proves it"),
    (re.compile(r"(?:usr/)?lib/(?:[^/]+/)?libc\.so\.6$"), "the C library, which every process has in use"),
    (re.compile(r"usr/bin/dbus-(?:broker|daemon)$"), "the message bus, which is not restarted on a running system"),
    (re.compile(r"(?:usr/)?lib/firmware/(?:intel|amd)-ucode/"), "the processor's microcode, which is loaded at boot"),
)

ReadUnit = Callable[[str, Member], str]
"""The text of a unit file, by its package's name."""


def restarted(moves: Sequence[Move], after: Mapping[str, PackageIndex]) -> dict[str, str]:
    """Units that scripts of the packages restart in an upgrade, and by whose script."""
    found: dict[str, str] = {}
    for move in moves:
        if move.kind in _CHANGING:
            for unit in _units_restarted(after[move.name]):
                found.setdefault(unit, move.name)
    return found


def services(
    moves: Sequence[Move], after: Mapping[str, PackageIndex], *, masked: Collection[str], read_unit: ReadUnit
) -> Iterator[Service]:
    """By unit. `masked` are units that the image never runs."""
    by_script = restarted(moves, after)
    changed = {move.name: f"{move.name} {move.new_version}" for move in moves if move.kind in _CHANGING}
    libraries = {name for name, index in after.items() if _has(index, _LIBRARY)}
    needs = _needs(after)
    starts = _Starts.of(after, read_unit)
    for unit, package in sorted(by_script.items()):
        if unit not in masked:
            yield Service(unit=unit, package=package, action="restarted", because=(changed[package],))
    for name, index in sorted(after.items()):
        used = sorted((_reach(name, needs, libraries) | {name}) & changed.keys(), key=lambda one: (one != name, one))
        if not used or _coming(name, moves):
            continue
        for unit, member in _service_units(index):
            if unit not in by_script and unit not in masked and starts.lasting(unit, read_unit(name, member)):
                yield Service(unit=unit, package=name, action="old-code", because=tuple(changed[one] for one in used))


def reboot_reasons(moves: Sequence[Move], after: Mapping[str, PackageIndex]) -> Iterator[str]:
    """Why the machine has to be restarted, in words."""
    for move in moves:
        if move.kind not in _COMING:
            continue
        index, version = after[move.name], f"{move.name} {move.new_version}"
        if is_kernel(index):
            yield f"{version}: a kernel"
        if move.kind in _CHANGING:
            yield from (f"{version}: {reason}" for pattern, reason in _REBOOT if _has(index, pattern))


def _units_restarted(index: PackageIndex) -> Iterator[str]:
    script = index.files.get("postinst")
    text = script.content.decode(errors="replace") if script else ""
    chosen = set(_ACTION.findall(text))
    for match in _CALL.finditer(text):
        words = [word.strip("'\"") for word in match["words"].split()]
        if "--skip-systemd-native" in words:
            continue
        names = [word for word in words if not word.startswith("-")]
        if match["tool"] == "invoke-rc.d" and len(names) == 2:
            names = [names[1], f"{names[0]}.service"]
        action, units = (names[0], names[1:]) if names else ("", [])
        if action in _RESTARTS or (action in {"$_dh_action", "${_dh_action}"} and chosen & _RESTARTS):
            yield from (_unit(name) for name in units if "$" not in name and name != "true")


def _unit(name: str) -> str:
    return name if name.endswith(_SUFFIXES) else f"{name}.service"


def _service_units(index: PackageIndex) -> Iterator[tuple[str, Member]]:
    for member in index.members:
        folder, _, name = member.path.rpartition("/")
        lasting = name.endswith(".service") and not name.endswith("@.service")
        if lasting and f"{folder}/" in _UNIT_FOLDERS and member.kind is Kind.FILE:
            yield name, member


def _has(index: PackageIndex, pattern: re.Pattern[str]) -> bool:
    return any(pattern.match(member.path) for member in index.members)


def _coming(name: str, moves: Sequence[Move]) -> bool:
    """A service that was not there before runs no old code."""
    return any(move.name == name and move.kind is MoveKind.ADDED for move in moves)


def _needs(packages: Mapping[str, PackageIndex]) -> dict[str, set[str]]:
    """Packages of the set that each one needs directly, the first alternative that is there."""
    givers = {name: name for name in packages}
    for name, index in packages.items():
        for relation, *_ in parse_relations(index.fields.get("Provides", "")):
            givers.setdefault(relation.name, name)
    return {
        name: {
            giver
            for field in ("Pre-Depends", "Depends")
            for alternatives in parse_relations(index.fields.get(field, ""))
            if (giver := next((givers[one.name] for one in alternatives if one.name in givers), None)) is not None
        }
        for name, index in packages.items()
    }


def _reach(name: str, needs: Mapping[str, set[str]], libraries: Collection[str]) -> set[str]:
    """Libraries that a package depends on, and those that these depend on; not what its scripts need besides."""
    seen: set[str] = set()
    todo = [one for one in needs.get(name, ()) if one in libraries]
    while todo:
        one = todo.pop()
        if one not in seen:
            seen.add(one)
            todo.extend(other for other in needs.get(one, ()) if other in libraries)
    return seen


@dataclass(frozen=True)
class _Starts:
    """What the packages of a set say of starting units: links that pull them in, sockets, and presets.

    `presets` are the lines of systemd.preset(5), of which the first that matches counts.
    """

    pulled: frozenset[str]
    presets: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, packages: Mapping[str, PackageIndex], read_unit: ReadUnit) -> _Starts:
        members = [(name, member) for name, index in packages.items() for member in index.members]
        pulled = {match["unit"] for _, member in members if (match := _WANTS.match(member.path))}
        names = {member.path.rpartition("/")[2] for _, member in members}
        pulled |= {f"{name.removesuffix('.socket')}.service" for name in names if name.endswith(".socket")}
        files = sorted(
            (member.path, name, member)
            for name, member in members
            if member.path.startswith(_PRESETS) and member.kind is Kind.FILE
        )
        lines = [line.split() for _, name, member in files for line in read_unit(name, member).splitlines()]
        return cls(
            frozenset(pulled),
            tuple((words[0], words[1]) for words in lines if len(words) > 1 and words[0] in {"enable", "disable"}),
        )

    def lasting(self, unit: str, text: str) -> bool:
        """Whether the unit's process is there on a running machine, as far as packages can say it."""
        if _PASSING.search(text):
            return False
        if unit in self.pulled:
            return True
        first = next((verb for verb, pattern in self.presets if fnmatchcase(unit, pattern)), "enable")
        return first == "enable" and _STARTED.search(text) is not None
