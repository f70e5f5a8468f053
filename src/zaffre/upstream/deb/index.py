# SPDX-License-Identifier: Apache-2.0
"""The package indexes of an upstream, verified and at hand.

The reader is our own: a suite has 70,000 stanzas in 57 MB, of which a few hundred are wanted. It splits the
text (0.1 s) and reads a stanza only when it is asked for; python-debian needs half a minute for all of them.
It relies on `Package` being a stanza's first field, as archives write it, and finds it elsewhere otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.upstream.deb.control import parse_relations, parse_stanza, source_of
from zaffre.upstream.deb.version import VersionKey, version_key
from zaffre.upstream.lock import LockedPackage, LockedSuite

MAX_INDEX_BYTES = 1 << 30
_MAX_STANZAS = 2_000_000
_FIRST = b"Package:"


@dataclass(frozen=True)
class Index:
    """One verified Packages file: the blob at `path`, from `suite`. Of a Sources file, `architecture` is "source"."""

    suite: LockedSuite
    component: str
    architecture: str
    sha256: Sha256
    path: Path

    @cached_property
    def stanzas(self) -> Mapping[str, list[bytes]]:
        """Unread stanzas, by the name of their package."""
        table: dict[str, list[bytes]] = {}
        blocks = self.path.read_bytes().split(b"\n\n")
        if len(blocks) > _MAX_STANZAS:
            raise IntegrityError(f"the index holds more than {_MAX_STANZAS} packages", where=self.where)
        for block in blocks:
            start = 0 if block.startswith(_FIRST) else block.find(b"\n" + _FIRST) + 1
            if start == 0 and not block.startswith(_FIRST):
                if block.strip():
                    raise IntegrityError(
                        "the index holds a stanza without a package", where=self.where, details=repr(block[:200])
                    )
                continue
            end = block.find(b"\n", start)
            name = block[start + len(_FIRST) : end if end >= 0 else None].strip().decode("ascii", "replace")
            table.setdefault(name, []).append(block)
        return table

    @property
    def where(self) -> str:
        return f"{self.suite.archive} {self.suite.suite}/{self.component} {self.architecture}"


@dataclass(frozen=True)
class Candidate:
    """One version of a package in one suite."""

    index: Index
    fields: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.fields["Package"]

    @property
    def version(self) -> str:
        return self.fields["Version"]

    @property
    def architecture(self) -> str:
        return self.fields["Architecture"]

    @cached_property
    def key(self) -> VersionKey:
        return version_key(self.version)

    @property
    def essential(self) -> bool:
        return self.fields.get("Essential", "no") == "yes"

    def locked(self) -> LockedPackage:
        """What the lock keeps of it. Raises IntegrityError for a stanza that lacks a field or has a senseless one."""
        try:
            source, source_version = source_of(self.fields)
            return LockedPackage(
                name=self.name,
                version=self.version,
                architecture=self.architecture,
                sha256=self.fields["SHA256"],
                size=int(self.fields["Size"]),
                path=self.fields["Filename"],
                suite=self.index.suite.suite,
                archive=self.index.suite.archive,
                source=source,
                source_version=source_version,
            )
        except KeyError as error:
            raise IntegrityError(f"'{self.name}' has no field {error.args[0]}", where=self.index.where) from error
        except ValueError as error:  # pydantic's too
            raise IntegrityError(
                f"the stanza of '{self.name}' is malformed", where=self.index.where, details=str(error)
            ) from error


class Universe:
    """All that can be installed on one architecture: the union of its indexes. Suites listed first win ties."""

    def __init__(self, architecture: str, indexes: Iterable[Index]) -> None:
        self.architecture = architecture
        self.indexes = tuple(indexes)
        self._candidates: dict[str, tuple[Candidate, ...]] = {}

    def candidates(self, name: str) -> tuple[Candidate, ...]:
        """Versions of a package, newest first; of equal ones the first suite's. Empty for an unknown name."""
        found = self._candidates.get(name)
        if found is None:
            seen: dict[tuple[str, str], Candidate] = {}
            for index in self.indexes:
                for block in index.stanzas.get(name, ()):
                    one = _candidate(index, block)
                    if one.architecture in {self.architecture, "all"}:
                        seen.setdefault((one.version, one.architecture), one)
            found = tuple(sorted(seen.values(), key=lambda one: one.key, reverse=True))
            self._candidates[name] = found
        return found

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(name for index in self.indexes for name in index.stanzas)

    @cached_property
    def essential(self) -> tuple[str, ...]:
        """Names of the packages that every system has (policy 3.8), sorted."""
        marked = {
            name
            for index in self.indexes
            for name, blocks in index.stanzas.items()
            if any(b"\nEssential: yes" in block for block in blocks)
        }
        return tuple(sorted(name for name in marked if any(one.essential for one in self.candidates(name)[:1])))

    @cached_property
    def providers(self) -> Mapping[str, tuple[tuple[str, str | None], ...]]:
        """Virtual package -> who provides it, and as which version; the newest version of each package counts."""
        table: dict[str, dict[str, str | None]] = {}
        names = {
            name
            for index in self.indexes
            for name, blocks in index.stanzas.items()
            if any(b"\nProvides:" in block for block in blocks)
        }
        for name in sorted(names):
            for one in self.candidates(name)[:1]:
                for (relation,) in (group[:1] for group in parse_relations(one.fields.get("Provides", ""))):
                    table.setdefault(relation.name, {})[name] = relation.version or None
        return {virtual: tuple(by.items()) for virtual, by in table.items()}

    def binaries_of(self, source: str) -> tuple[str, ...]:
        """Names of packages whose newest version comes of that source, sorted."""
        marks = (f"\nSource: {source}\n".encode(), f"\nSource: {source} (".encode())
        named = {
            name
            for index in self.indexes
            for name, blocks in index.stanzas.items()
            if name == source or any(mark in block for block in blocks for mark in marks)
        }
        newest = ((name, self.candidates(name)[:1]) for name in named)
        return tuple(sorted(name for name, found in newest if any(source_of(one.fields)[0] == source for one in found)))

    def find(self, name: str, version: str, architecture: str) -> Candidate | None:
        return next(
            (
                one
                for one in self.candidates(name)
                if one.version == version and one.architecture in {architecture, "all"}
            ),
            None,
        )


@dataclass(frozen=True)
class Indexes:
    """Everything that was verified in one go: the suites of an upstream and their indexes."""

    upstream: str
    suites: tuple[LockedSuite, ...]
    indexes: tuple[Index, ...]

    @cached_property
    def _universes(self) -> dict[str, Universe]:
        return {}

    def universe(self, architecture: str) -> Universe:
        """Raises DefinitionError when the architecture was not among those that were read."""
        found = self._universes.get(architecture)
        if found is None:
            mine = tuple(one for one in self.indexes if one.architecture in {architecture, "all"})
            if not any(one.architecture == architecture for one in mine):
                raise DefinitionError(
                    f"the upstream '{self.upstream}' was not read for the architecture '{architecture}'",
                    resolution=f"add it to the `architectures` of upstreams/{self.upstream}.toml",
                )
            found = self._universes[architecture] = Universe(architecture, mine)
        return found


def _candidate(index: Index, block: bytes) -> Candidate:
    try:
        fields = parse_stanza(block.decode("utf-8"))
        one = Candidate(index, fields)
        version_key(one.version)
        _ = one.architecture, one.name
        return one
    except (KeyError, ValueError) as error:
        raise IntegrityError(
            "the index holds a malformed stanza", where=index.where, details=f"{error}: {block[:200]!r}"
        ) from error
