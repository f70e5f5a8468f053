# SPDX-License-Identifier: Apache-2.0
"""Source packages of a snapshot: their files by where they lie, and the index that apt finds them by.

All files of a source package lie in one folder, which has the name of the digest of its description (.dsc). That has
the digests of the others, so the folder never means other files.
Format: "DebianRepository/Format" in Debian's wiki, "Sources Indices"; dsc(5).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from debian.deb822 import Deb822

from zaffre.digest import Sha256
from zaffre.errors import FindingError, IntegrityError
from zaffre.repository.selection import Selection
from zaffre.store import Store
from zaffre.upstream.deb.release import FileFact
from zaffre.upstream.deb.version import version_key
from zaffre.upstream.lock import COMPONENTS, ArchivedSource, Lock, LockedComponent, LockedPackage
from zaffre.upstream.pool import source_folder
from zaffre.upstream.sourcing import made_from

_DSC = ".dsc"
_MAX_DSC = 4 << 20
_OF_THE_FILES = ("Files", "Checksums-Sha1", "Checksums-Sha256", "Checksums-Sha512", "Directory", "Source", "Package")

ControlOf = Callable[[LockedPackage], str]
OwnSource = Callable[[LockedComponent], Mapping[str, FileFact] | None]
"""The source package that a component of ours is built from, its files by name; None for one that has none, empty for
one whose source is the upstream's."""


@dataclass(frozen=True)
class SourcePackage:
    """One source package, whose files are in the store."""

    name: str
    version: str
    files: Mapping[str, FileFact]

    @property
    def description(self) -> FileFact:
        return next(fact for name, fact in self.files.items() if name.endswith(_DSC))

    @property
    def folder(self) -> str:
        return source_folder(self.description.sha256)

    @property
    def pool(self) -> Mapping[str, FileFact]:
        """Its files by where they lie."""
        return {f"{self.folder}/{name}": fact for name, fact in self.files.items()}


def source_package(name: str, version: str, files: Mapping[str, FileFact]) -> SourcePackage:
    """Raises IntegrityError for files of which not just one describes the others."""
    if sum(one.endswith(_DSC) for one in files) != 1:
        raise IntegrityError(f"the source '{name}' has not one file that describes it", where=f"{name} {version}")
    return SourcePackage(name, version, files)


@dataclass(frozen=True)
class Sources:
    """Source packages by the component of the repository that has what was made of them.

    `without` are our own components whose source is no source package.
    """

    machines: tuple[SourcePackage, ...] = ()
    builders: tuple[SourcePackage, ...] = ()
    without: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[SourcePackage, ...]:
        return (*self.machines, *self.builders)


def gather_sources(
    locked: Sequence[tuple[ArchivedSource, bool]], components: Sequence[LockedComponent], own: OwnSource
) -> Sources:
    """The source packages of a selection: those of upstreams, as `locked_sources` gives them, those of our components
    as they are built. Raises what making one raises.
    """
    machines: dict[str, SourcePackage] = {}
    builders: dict[str, SourcePackage] = {}
    for one, is_for_machines in locked:
        files = {file.path.rpartition("/")[2]: FileFact(file.digest, file.size) for file in one.files}
        made = source_package(one.name, one.version, files)
        (machines if is_for_machines else builders)[made.folder] = made
    without = []
    for part in components:
        mine = own(part)
        if mine is None:
            without.append(part.name)
        elif mine:
            binary = part.packages[0].package
            made = source_package(binary.source, binary.source_version, mine)
            machines[made.folder] = made
    return Sources(
        tuple(machines.values()),
        tuple(one for folder, one in builders.items() if folder not in machines),
        tuple(dict.fromkeys(without)),
    )


def locked_sources(lock: Lock, selection: Selection, control: ControlOf) -> list[tuple[ArchivedSource, bool]]:
    """What the lock has of the sources of all that is selected, each once, with whether machines have something of it.

    Raises FindingError when it lacks one of what is an upstream's.
    """
    known = {(one.name, one.version): one for one in lock.sources}
    found: dict[tuple[str, str], bool] = {}
    for table, is_for_machines in ((selection.machines, True), (selection.builders, False)):
        for package in (one for packages in table.values() for one in packages):
            for key in made_from(package, selection.controls.get(package.digest) or control(package)):
                if key in known:
                    found[key] = found.get(key, False) or is_for_machines
                elif package.archive != COMPONENTS:
                    raise FindingError(
                        f"the lock does not have the source of {package.name} {package.version}",
                        where=f"{key[0]} {key[1]}",
                        resolution="run `zaffre lock`; nothing was published",
                    )
    return [(known[key], is_for_machines) for key, is_for_machines in sorted(found.items())]


def sources_text(packages: Sequence[SourcePackage], store: Store) -> bytes:
    """An index of source packages. The same packages give the same bytes."""
    ordered = sorted(packages, key=lambda one: (one.name, version_key(one.version), one.folder))
    return "\n".join(_stanza(one, store) for one in ordered).encode()


def _stanza(package: SourcePackage, store: Store) -> str:
    """The fields of its .dsc. Raises IntegrityError when that describes another package, or other files."""
    path = store.path(package.description.sha256)
    where = f"{package.name} {package.version}"
    if package.description.size > _MAX_DSC:
        raise IntegrityError("the description of a source package is too large to be one", where=where)
    try:
        told = Deb822(path.read_text("utf-8"))
        sums = {name: FileFact(Sha256(digest), int(size)) for digest, size, name in _lines(told["Checksums-Sha256"])}
    except (KeyError, ValueError) as error:
        raise IntegrityError(
            "the description of a source package is malformed", where=where, details=str(error)
        ) from error
    others = {name: fact for name, fact in package.files.items() if not name.endswith(_DSC)}
    if (told.get("Source"), told.get("Version"), sums) != (package.name, package.version, others):
        raise IntegrityError(
            "a source package is another one than the lock says",
            where=where,
            details=f"it describes {told.get('Source')} {told.get('Version')}: {', '.join(sorted(sums))}",
        )
    fields = Deb822({"Package": package.name})
    for name, value in told.items():
        if name not in _OF_THE_FILES:
            fields[name] = value
    fields["Directory"] = package.folder
    fields["Checksums-Sha256"] = "".join(
        f"\n {fact.sha256} {fact.size} {name}" for name, fact in sorted(package.files.items())
    )
    return fields.dump()


def _lines(field: str) -> list[list[str]]:
    return [line.split() for line in field.splitlines() if line.strip()]
