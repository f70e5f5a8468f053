# SPDX-License-Identifier: Apache-2.0
"""What rpm makes of a spec, in a root with the macros of its distribution; and how rpmbuild is called.

A spec can run programs while it is read (`%(...)`), so it is read as it is built: by an ordinary user, in the sandbox,
without a network.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from zaffre.component.buildroot import PLACE, BuildRoot
from zaffre.component.model import Bench
from zaffre.definition import Architecture, rpm_architecture
from zaffre.errors import DefinitionError, IntegrityError, ToolError
from zaffre.tree.rootfs import plain_files
from zaffre.upstream.rpm.header import Header, Tag, read_head
from zaffre.upstream.rpm.package import evr_of
from zaffre.upstream.rpm.relations import Kind, relations_of

SOURCES = "SOURCES"
"""Name of the folder with the spec and all that it names."""

_PACKED = "SRPMS"
_GENERATES = re.compile(r"^%generate_buildrequires\b", re.MULTILINE)
_MISSING = 11
"""Exit code of `rpmbuild -br` when something that it is built with is not there (rpmbuild(8))."""
_MACROS = {
    "_topdir": PLACE,
    "_specdir": "%{_sourcedir}",
    "_rpmfilename": "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    "_tmppath": "/tmp",  # noqa: S108 - inside
    "_buildhost": "zaffre",
    "source_date_epoch_from_changelog": "1",
    "use_source_date_epoch_as_buildtime": "1",
    # The same twice: the second name is that of rpm 4.20 and newer.
    "clamp_mtime_to_source_date_epoch": "1",
    "build_mtime_policy": "clamp_to_source_date_epoch",
    "_source_payload": "w1.gzdio",
}


def macros(bench: Bench) -> list[str]:
    """Options of rpmbuild and rpmspec by which the same spec gives the same packages anywhere."""
    defines = [word for name, value in _MACROS.items() for word in ("--define", f"{name} {value}")]
    return ["--target", rpm_architecture(Architecture(bench.architecture)), *defines]


@dataclass(frozen=True)
class Reading:
    """A spec as rpm understands it. `changed`: time of the newest entry of its changelog, in seconds.

    `gives` are the packages that will be built; `relations` what it is built with, and with what it is not, in rpm's
    words; `generates`: whether its own programs name more of those.
    """

    name: str
    version: str
    gives: tuple[str, ...]
    relations: tuple[str, ...]
    changed: int | None
    generates: bool


def read_spec(bench: Bench, root: BuildRoot, spec: str) -> Reading:
    """Read the spec at that path of the root. DefinitionError for one that rpm refuses, or lacks a source for."""
    # Before anything of the source has run, which could put a link in its place.
    text = (root.folder / spec.rpartition("/")[2]).read_text("utf-8", "surrogateescape")
    try:
        root.ask(["rpmbuild", "-bs", "--nodeps", *macros(bench), spec], env={})
        told = root.ask(
            ["rpmspec", "--query", "--builtrpms", "--queryformat", "%{NAME}\\n", *macros(bench), spec], env={}
        )
    except ToolError as error:
        raise DefinitionError(
            f"rpm does not accept the spec of '{bench.component.name}'",
            where=f"{bench.component.folder}: {spec.rpartition('/')[2]}",
            details=error.details,
            resolution="rpm says what is wrong with it; `build_packages` of the upstream must have rpmbuild and all "
            "macros that a spec may use before anything else is installed",
        ) from error
    header = _packed(bench, root)
    changed = header.numbers(Tag.CHANGELOG_TIME)
    return Reading(
        name=header.text(Tag.NAME) or "",
        version=evr_of(header),
        gives=tuple(sorted(set(told.decode().split()))),
        relations=tuple(_relations(header)),
        changed=changed[0] if changed else None,
        generates=_GENERATES.search(text) is not None,
    )


def generated(bench: Bench, root: BuildRoot, spec: str) -> tuple[str, ...]:
    """All that it is built with, as its own programs say; nothing when all of it is installed. Raises ToolError."""
    try:
        root.ask(["rpmbuild", "-br", *macros(bench), spec], env={})
    except ToolError as error:
        if error.returncode != _MISSING:
            raise ToolError(
                f"'{bench.component.name}' cannot find out what it is built with",
                where=f"{bench.component.folder}: {spec.rpartition('/')[2]}",
                command=error.command,
                returncode=error.returncode,
                details=error.details,
                resolution="mend its %prep or %generate_buildrequires by an overlay",
            ) from error
        return tuple(_relations(_packed(bench, root)))
    return ()


def _packed(bench: Bench, root: BuildRoot) -> Header:
    """The header of the source package that rpmbuild has just made."""
    found: tuple[Path, ...] = plain_files(root.root, f"{PLACE}/{_PACKED}")
    if len(found) != 1:
        raise IntegrityError(f"rpmbuild left {len(found)} source packages, not one", where=bench.component.folder)
    try:
        with found[0].open("rb") as file:
            return read_head(file, source=True).header
    except ValueError as error:
        raise IntegrityError(
            "rpmbuild left a source package that is malformed", where=bench.component.folder, details=str(error)
        ) from error


def _relations(header: Header) -> Iterator[str]:
    seen = dict.fromkeys(str(one) for one in relations_of(header, Kind.REQUIRES))
    yield from seen
    yield from dict.fromkeys(f"Conflicts: {one}" for one in relations_of(header, Kind.CONFLICTS))
