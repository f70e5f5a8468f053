# SPDX-License-Identifier: Apache-2.0
"""`deb-binary`: the upstream's own binary packages, taken apart and packed anew without a build.

What is not touched stays bit for bit as the upstream built it, so its programs are the signed ones; control files,
checksums and the names of packages change as the overlays say.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

from zaffre.component.debfile import unpack_packages
from zaffre.component.halves import NewHalf, read_control, split
from zaffre.component.model import Bench, Choice, Made, Order
from zaffre.component.names import names_given, operations_of, place_of_operation
from zaffre.component.relations import added, changed
from zaffre.component.version import mark_of, said
from zaffre.definition.component import DebBinary
from zaffre.definition.operations import (
    DependsAdd,
    DependsChange,
    DependsRemove,
    Operation,
    PackageDrop,
    PackageSplit,
)
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox
from zaffre.tree.deb.package import CONTROL, pack_deb, write_control
from zaffre.tree.rootfs import is_plain, walk
from zaffre.upstream.deb.control import source_of
from zaffre.upstream.lock import LockedFile, LockedPackage, LockedSource
from zaffre.upstream.world import Chosen

_TIMEOUT = 60.0


class Repack:
    """Packages of the upstream in other halves."""

    def __init__(self, source: DebBinary) -> None:
        self._source = source

    def choose(self, bench: Bench, choice: Choice) -> Chosen:
        packages = [self._newest(name, bench, choice) for name in self._source.packages]
        return Chosen(
            source=LockedSource(
                name=packages[0].source,
                version=packages[0].version,
                files=tuple(
                    LockedFile(path=one.path, sha256=one.sha256, size=one.size, archive=one.archive) for one in packages
                ),
            ),
            gives=names_given(bench.component, self._source.packages),
        )

    @staticmethod
    def _newest(name: str, bench: Bench, choice: Choice) -> LockedPackage:
        found = choice.repositories.newest(name, bench.architecture)
        if found is None:
            raise DefinitionError(
                f"'{name}' is in no suite of the upstream for {bench.architecture}",
                where=f"{bench.component.file}: source.packages",
                resolution="mend the name, or name the suite that has it",
            )
        return found

    def fetch(self, bench: Bench, source: LockedSource) -> None:
        bench.fetch(source.files, title=f"packages of {bench.component.name}")

    def make(self, bench: Bench, order: Order, scratch: Path) -> Made:
        source = order.locked.source
        self.fetch(bench, source)
        work, target = scratch / "work", scratch / "packages"
        upstreams = scratch / "upstream"
        for folder in (work, target, upstreams):
            folder.mkdir()
        folders = unpack_packages(
            source, upstreams, names=self._source.packages, store=bench.store, sandbox=bench.sandbox
        )
        epoch = max(_newest_time(folder) for folder in folders.values())
        for name, folder in folders.items():
            _mark(folder, name, bench, epoch)
        for overlay, index, operation in operations_of(bench.component):
            apply_operation(operation, folders, work, where=place_of_operation(overlay, index))
        debs = [pack_deb(folder, target, epoch=epoch, sandbox=bench.sandbox) for folder in folders.values()]
        return Made(tuple(debs))


def _newest_time(folder: Path) -> int:
    """The time of the newest file that the upstream packed, which no file of ours is newer than."""
    times = [
        status.st_mtime
        for path, status in walk(folder)
        if not stat.S_ISDIR(status.st_mode) and not path.startswith(f"{CONTROL}/")
    ]
    return int(max(times, default=0))


def _mark(folder: Path, name: str, bench: Bench, epoch: int) -> None:
    """Give the package its version, and say in its changelog why it has that."""
    overlays = bench.component.overlays
    if not overlays:
        return
    suffix = mark_of(overlays).deb
    fields = read_control(folder)
    source, source_version = source_of(fields)
    fields["Source"] = f"{source} ({source_version})"
    fields["Version"] += suffix
    if "Depends" in fields:
        # Packages of one source depend on one another in the very version.
        fields["Depends"] = _same_version(fields["Depends"], fields["Version"].removesuffix(suffix), suffix, bench)
    write_control(folder, {"Package": fields.pop("Package"), **fields})
    path = f"usr/share/doc/{name}/changelog.Debian.gz"
    if not is_plain(folder, path):
        return
    entry = (
        f"{source} ({fields['Version']}) {bench.distribution.identity.id}; urgency=medium\n\n"
        + "".join(f"  * {line}\n" for line in said(overlays))
        + f"\n -- {bench.distribution.identity.maintainer}  {format_datetime(datetime.fromtimestamp(epoch, UTC))}\n\n"
    )
    _begin_with(entry, folder / path, bench.sandbox)
    _replace_sum(folder, path)


def _begin_with(entry: str, changelog: Path, sandbox: Sandbox) -> None:
    """Put an entry before those of a packed changelog, by gzip of the tools tree: a zlib of another make packs the same
    text into other bytes."""
    before = sandbox.run(["gzip", "-dc"], stdin=changelog, timeout=_TIMEOUT).stdout
    changelog.write_bytes(sandbox.run(["gzip", "-9nc"], stdin=entry.encode() + before, timeout=_TIMEOUT).stdout)


def _same_version(field: str, version: str, suffix: str, bench: Bench) -> str:
    given = bench.component.source
    names = given.packages if isinstance(given, DebBinary) else ()
    for name in names:
        field = field.replace(f"{name} (= {version})", f"{name} (= {version}{suffix})")
    return field


def _replace_sum(folder: Path, path: str) -> None:
    sums = folder / CONTROL / "md5sums"
    digest = hashlib.md5((folder / path).read_bytes(), usedforsecurity=False).hexdigest()
    lines = sums.read_text(encoding="utf-8").splitlines() if sums.is_file() else []
    sums.write_text(
        "".join(f"{digest}  {path}\n" if line.partition("  ")[2] == path else f"{line}\n" for line in lines),
        encoding="utf-8",
    )


def apply_operation(operation: Operation, folders: dict[str, Path], work: Path, *, where: str) -> None:
    """Do it to unpacked packages by name; what is split off lies in `work`. DefinitionError if it can't be done."""
    match operation:
        case PackageSplit():
            other = work / f"split-{len(folders)}"
            half = NewHalf(operation.name, operation.paths, operation.description, operation.depends)
            if operation.name in folders:
                raise DefinitionError(
                    f"there is a package '{operation.name}' already",
                    where=where,
                    resolution="give what is split off another name",
                )
            split(_folder(folders, operation.package, where), other, half, where=where)
            folders[operation.name] = other
        case PackageDrop():
            _folder(folders, operation.package, where)
            del folders[operation.package]
        case DependsAdd() | DependsChange() | DependsRemove():
            _depend(operation, _folder(folders, operation.package or "", where), where=where)
        case _:
            pass  # version and changelog were taken into account before


def _folder(folders: Mapping[str, Path], name: str, where: str) -> Path:
    if name not in folders:
        raise DefinitionError(
            f"there is no package '{name}' to change", where=where, resolution=f"there are {', '.join(sorted(folders))}"
        )
    return folders[name]


def _depend(operation: DependsAdd | DependsChange | DependsRemove, folder: Path, *, where: str) -> None:
    fields = read_control(folder)
    name = operation.field.value.title()
    before = fields.get(name, "")
    match operation:
        case DependsAdd():
            after: str | None = added(before, operation.relation)
        case DependsChange():
            after = changed(before, operation.name, operation.relation)
        case DependsRemove():
            after = changed(before, operation.name, None)
    if after is None:
        raise DefinitionError(
            f"'{fields['Package']}' has no {name} on it",
            where=where,
            details=f"{name}: {before}",
            resolution="mend the name, or take the operation out: the upstream may have changed",
        )
    fields[name] = after
    write_control(folder, {key: value for key, value in fields.items() if value})
