# SPDX-License-Identifier: Apache-2.0
"""A Go module moved to another version: the newest that it may have, its source, and the definition that names it.

Its version and checksum are in the definition, so an update writes them there; nothing vouches for the checksum but
the proxy that gave the module, until somebody compares it.
"""

from __future__ import annotations

import re
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zaffre.component import patch as patches
from zaffre.component.goproxy import Modules
from zaffre.component.gosum import GoFile
from zaffre.component.goversions import minor_of, newer_releases, retracted, too_old, wanted_go
from zaffre.definition import Component, GoModule, Overlay
from zaffre.definition.operations import FileAdd, FileRemove, FileRename, FileReplace, PatchAdd, SearchReplace
from zaffre.progress import Progress
from zaffre.store import Store
from zaffre.upstream.lock import LockedFile, LockedSource

_PINS = frozenset({"go.mod", "go.sum"})


@dataclass(frozen=True)
class Newest:
    """The version that an update takes, which may be the present one; `passed` says why newer ones are not taken."""

    version: str
    passed: tuple[str, ...] = ()


def newest_version(source: GoModule, modules: Modules, *, toolchain: str | None) -> Newest:
    """What the proxies offer that `source.within` and the Go it is built with allow. Raises WorldError.

    Without `toolchain` it is not known which Go that is, and what a version asks for does not count.
    """
    listed = modules.versions(source.module)
    newer = newer_releases(source.version, listed)
    if not newer:
        only = f"the only version that a proxy knows is {listed[0]}, no release" if len(listed) == 1 else ""
        return Newest(source.version, (only,) if only and listed[0] != source.version else ())
    passed: list[str] = []
    newest_mod = modules.go_mod(source.module, newer[0])
    minors: set[tuple[int, int]] = set()
    for version in newer:
        if minor_of(version) in minors:
            continue
        if retracted(newest_mod, version):
            passed.append(f"{version} was taken back by its authors")
            continue
        minors.add(minor_of(version))
        if source.within == "minor" and minor_of(version) != minor_of(source.version):
            passed.append(f'{version} is of another minor version, and `source.within` is "minor"')
            continue
        wanted = wanted_go(newest_mod if version == newer[0] else modules.go_mod(source.module, version))
        if toolchain and wanted and too_old(toolchain, wanted):
            passed.append(f"{version} asks for Go {wanted}, and it is built with Go {toolchain}")
            continue
        return Newest(version, tuple(passed))
    return Newest(source.version, tuple(passed))


def module_source(source: GoModule, modules: Modules, store: Store, progress: Progress) -> LockedSource:
    """The module's own files, in the store: from there, or from a proxy. Raises WorldError, IntegrityError."""
    file = GoFile(source.module, source.version)
    digest = modules.fetch({file: source.sum}, progress)[file]
    size = store.path(digest).stat().st_size
    return LockedSource(
        name=source.module,
        version=source.version,
        files=(LockedFile(path=file.path, sha256=digest, size=size, archive="go"),),
    )


def at_version(component: Component, version: str, modules: Modules) -> Component:
    """The component as it would be with another version of its module, whose checksum is learned from a proxy."""
    source = component.source
    if not isinstance(source, GoModule):
        message = f"a {source.kind} is no Go module"
        raise TypeError(message)
    checksum = modules.learn(GoFile(source.module, version))
    return component.model_copy(update={"source": source.model_copy(update={"version": version, "sum": checksum})})


def pins_versions(overlay: Overlay, folder: Path) -> bool:
    """Whether it changes go.mod or go.sum, and so names versions of other modules, which go with this one's."""
    paths: set[str] = set()
    for operation in overlay.operations:
        match operation:
            case PatchAdd(file=file):
                with suppress(patches.PatchError):  # trying it says what is wrong
                    paths |= patches.paths_of(patches.parse((folder / file).read_bytes()))
            case SearchReplace(path=path) | FileReplace(path=path) | FileAdd(path=path) | FileRemove(path=path):
                paths.add(path)
            case FileRename(path=path, to=to):
                paths |= {path, to}
            case _:
                pass
    return not _PINS.isdisjoint(paths)


def with_version(text: str, old: GoModule, new: GoModule) -> str | None:
    """A component.toml with another version and checksum, all else as it was; None where its text does not show which
    words those are, and somebody has to write them."""
    changed = text
    for key, before, after in (("version", old.version, new.version), ("sum", old.sum, new.sum)):
        changed = re.sub(rf'(?<![\w-])({key}\s*=\s*)(["\']){re.escape(before)}\2', rf"\g<1>\g<2>{after}\g<2>", changed)
    told = tomllib.loads(text)
    told["source"] |= {"version": new.version, "sum": new.sum}
    return changed if tomllib.loads(changed) == told else None
