# SPDX-License-Identifier: Apache-2.0
"""Many packages, one file tree: where each file goes, and whose it is. Pure: indexes in, a plan out.

Rules, in dpkg's words (deb(7), dpkg's unpack.c), for packages that are unpacked together into an empty root:
- The links of the merged /usr exist before anything else; every path is resolved through the links that are
  planned, below the root, so that nothing is ever written through a link at all.
- A directory may be in many packages; the first in the order given decides its mode and owner.
- A file may be in two packages only if one Replaces the other in its version (then it wins and the file leaves the
  other's list), or if both are the same Multi-Arch: same package and the files are identical.
- Everything else that overlaps is refused, and so is a path that is a directory here and something else there.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from zaffre.errors import IntegrityError
from zaffre.tree.deb.model import Kind, Member, PackageIndex
from zaffre.tree.policy import SetuidPolicy, Verdict, is_privileged, undeclared_error
from zaffre.upstream.deb.control import parse_relations

_MERGED = ("bin", "lib", "sbin")
_MERGED_LOADER = {"amd64": ("lib64",)}
_MAX_LINKS = 40  # as the kernel: path_resolution(7)
NO_PACKAGE = -1


class Entry(NamedTuple):
    """One path of the tree. `package` is an index into the packages, NO_PACKAGE for what the tree itself needs.

    `target` is a symlink's text, or the tree path of the file that a hard link shares. `offset` and `size` tell
    where the package's data archive has the content.
    """

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime: int
    package: int
    offset: int = 0
    size: int = 0
    target: str = ""
    capability: str = ""


@dataclass(frozen=True)
class Plan:
    """`entries` sorted by path, so a directory comes before what is in it; `lists` is each package's own list of
    absolute paths, as shipped (unresolved, "/." for the root), in the order of its archive."""

    entries: tuple[Entry, ...]
    lists: tuple[tuple[str, ...], ...]


def merge(packages: Sequence[PackageIndex], *, architecture: str, setuid: SetuidPolicy) -> Plan:
    """The plan for these packages. Raises IntegrityError for overlaps, DefinitionError for undeclared setuid files."""
    merger = _Merger(packages, architecture)
    for number, index in enumerate(packages):
        for member in index.members:
            merger.add(number, member)
    entries = merger.finish()
    return Plan(
        entries=tuple(_apply(entries, packages, setuid)),
        lists=tuple(
            tuple(
                f"/{member.path}" if member.path else "/."
                for member in index.members
                if (number, member.path) not in merger.elided
            )
            for number, index in enumerate(packages)
        ),
    )


def merged_usr_links(architecture: str) -> dict[str, str]:
    return {name: f"usr/{name}" for name in (*_MERGED, *_MERGED_LOADER.get(architecture, ()))}


class _Merger:
    def __init__(self, packages: Sequence[PackageIndex], architecture: str) -> None:
        self._packages = packages
        self._merged = merged_usr_links(architecture)
        self._links = _locate_links(packages, self._merged)
        self._parents: dict[str, str] = {}
        self._entries: dict[str, Entry] = {}
        self._raw: dict[str, str] = {}
        self.elided: set[tuple[int, str]] = set()
        for name, target in self._merged.items():
            self._entries[name] = Entry(name, Kind.SYMLINK, 0o777, 0, 0, 0, NO_PACKAGE, target=target)

    def _resolve_parent(self, path: str) -> str:
        parent, _, name = path.rpartition("/")
        if parent not in self._parents:
            self._parents[parent] = _resolve(parent, self._links)
        folder = self._parents[parent]
        return f"{folder}/{name}" if folder else name

    def add(self, number: int, member: Member) -> None:
        path = self._resolve_parent(member.path)
        if path in self._merged:
            if member.kind is Kind.SYMLINK and member.target.lstrip("/") == self._merged[path]:
                self._entries[path] = self._entry(path, number, member)
                return
            if member.kind is not Kind.DIRECTORY:
                index = self._packages[number]
                raise _overlap(path, index, index, f"/{path} has to be a link to {self._merged[path]}")
            path = self._merged[path]
        new = self._entry(path, number, member)
        old = self._entries.get(path)
        if old is None:
            self._entries[path] = new
            self._raw[path] = member.path
        elif not old.kind == new.kind == Kind.DIRECTORY:
            self._settle(old, new, member)

    def _entry(self, path: str, number: int, member: Member) -> Entry:
        target = member.target
        if member.kind is Kind.HARDLINK:
            target = self._resolve_parent(target)
        return Entry(
            path,
            member.kind,
            member.mode,
            member.uid,
            member.gid,
            member.mtime,
            number,
            member.offset,
            member.size,
            target,
            member.capability,
        )

    def _settle(self, old: Entry, new: Entry, member: Member) -> None:
        """Two packages want one path, and not both a directory."""
        one, other = self._packages[old.package], self._packages[new.package]
        if Kind.DIRECTORY in (old.kind, new.kind):
            raise _overlap(new.path, one, other, "one ships a directory there and the other does not")
        if old.package == new.package:
            raise _overlap(new.path, one, other, f"it ships both /{self._raw[new.path]} and /{member.path}")
        old_wins, new_wins = _replaces(one, other), _replaces(other, one)
        if old_wins and new_wins:
            raise _overlap(new.path, one, other, "each says that it replaces the other")
        if new_wins:
            self.elided.add((old.package, self._raw[new.path]))
            self._entries[new.path] = new
            self._raw[new.path] = member.path
        elif old_wins:
            self.elided.add((new.package, member.path))
        elif not self._shared(old, new, member):
            raise _overlap(new.path, one, other, "neither Replaces the other")

    def _shared(self, old: Entry, new: Entry, member: Member) -> bool:
        one, other = self._packages[old.package], self._packages[new.package]
        if not (one.same and other.same and one.name == other.name and old.kind == new.kind):
            return False
        before = next(m for m in one.members if m.path == self._raw[new.path])
        return (before.sha256, old.target) == (member.sha256, new.target)

    def finish(self) -> list[Entry]:
        """All entries, sorted, with the directories that no package has; checked as a whole."""
        for path in list(self._entries):
            parent = path.rpartition("/")[0]
            while parent:
                entry = self._entries.get(parent)
                if entry is None:
                    self._entries[parent] = _implied(parent)
                elif entry.kind is not Kind.DIRECTORY:
                    raise _overlap(
                        path, self._packages[entry.package], self._owner(path), f"/{parent} is not a directory"
                    )
                parent = parent.rpartition("/")[0]
        for link, target in self._merged.items():
            if self._entries[link].kind is Kind.SYMLINK and target not in self._entries:
                self._entries[target] = _implied(target)
        for entry in self._entries.values():
            if entry.kind is Kind.HARDLINK:
                file = self._entries.get(entry.target)
                if file is None or file.package != entry.package or file.kind not in {Kind.FILE, Kind.HARDLINK}:
                    index = self._packages[entry.package]
                    raise _overlap(entry.path, index, index, f"it is a hard link to /{entry.target}, which is replaced")
        self._entries.setdefault("", _implied(""))
        return [self._entries[path] for path in sorted(self._entries)]

    def _owner(self, path: str) -> PackageIndex:
        return self._packages[self._entries[path].package]


def _implied(path: str) -> Entry:
    return Entry(path, Kind.DIRECTORY, 0o755, 0, 0, 0, NO_PACKAGE)


def _locate_links(packages: Sequence[PackageIndex], merged: Mapping[str, str]) -> dict[str, str]:
    """Every planned symlink by the place where it really comes to lie. A link may lie below another link, so
    the places are computed until they no longer change."""
    raw = [
        (member.path, member.target) for index in packages for member in index.members if member.kind is Kind.SYMLINK
    ]
    links = dict(merged)
    for _ in range(_MAX_LINKS):
        placed = dict(merged)
        for path, target in raw:
            parent, _, name = path.rpartition("/")
            folder = _resolve(parent, links)
            placed.setdefault(f"{folder}/{name}" if folder else name, target)
        if placed == links:
            return links
        links = placed
    raise IntegrityError(
        "the symbolic links of the packages form a knot", resolution="look for links that lead to each other"
    )


def _resolve(path: str, links: Mapping[str, str]) -> str:
    """Where `path` leads when every component is followed, never above the root. Raises IntegrityError for a loop."""
    done: list[str] = []
    todo = [part for part in reversed(path.split("/")) if part]
    followed = 0
    while todo:
        part = todo.pop()
        if part == ".":
            continue
        if part == "..":
            del done[-1:]
            continue
        done.append(part)
        target = links.get("/".join(done))
        if target is None:
            continue
        followed += 1
        if followed > _MAX_LINKS:
            raise IntegrityError(f"symbolic links lead in a circle at /{path}", where=f"/{path}")
        if target.startswith("/"):
            done.clear()
        else:
            done.pop()
        todo.extend(part for part in reversed(target.split("/")) if part)
    return "/".join(done)


def _replaces(winner: PackageIndex, loser: PackageIndex) -> bool:
    return any(
        relation.name == loser.name and relation.accepts(loser.version)
        for group in parse_relations(winner.fields.get("Replaces", ""))
        for relation in group
    )


def _overlap(path: str, one: PackageIndex, other: PackageIndex, why: str) -> IntegrityError:
    names = " and ".join(dict.fromkeys(f"{index.label} {index.version}" for index in (one, other)))
    return IntegrityError(
        f"the packages cannot be unpacked together: {names}",
        where=f"/{path}",
        details=why,
        resolution="leave one of them out of `packages`; dpkg would refuse them too",
    )


def _apply(entries: Iterable[Entry], packages: Sequence[PackageIndex], setuid: SetuidPolicy) -> list[Entry]:
    undeclared: list[tuple[str, str]] = []
    out: list[Entry] = []
    for entry in entries:
        if entry.kind in {Kind.FILE, Kind.HARDLINK} and is_privileged(entry.mode, entry.capability):
            match setuid.verdict(entry.path):
                case Verdict.UNDECLARED:
                    undeclared.append((f"/{entry.path}", packages[entry.package].name))
                case Verdict.STRIP:
                    entry = entry._replace(mode=entry.mode & ~(stat.S_ISUID | stat.S_ISGID), capability="")  # noqa: PLW2901
        out.append(entry)
    if undeclared:
        raise undeclared_error(undeclared)
    return out
