# SPDX-License-Identifier: Apache-2.0
"""Contradictions of a component: what each value alone allows and all of them together do not."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zaffre.definition.claims import claims_of, together
from zaffre.definition.component import Component, DebBinary, FilesSource, GoModule, RpmSource, Source, is_program
from zaffre.definition.operations import SOURCES, Brings, BuildOptionChange, PackageSplit
from zaffre.definition.problems import Problem, near
from zaffre.definition.upstream import Upstream
from zaffre.definition.values import KeyPath, dotted, is_file_link

_FAMILIES = {"deb-source": "deb", "deb-binary": "deb", "go-module": "deb", "files": "deb", "rpm": "rpm"}
"""The family of packages that each kind of source becomes."""
_GO_ONLY = ("options", "environment", "link_flags", "fips")
_UNITS = (".service", ".socket", ".mount", ".automount", ".target", ".path", ".timer", ".slice")


def check_component(component: Component, upstream: Upstream | None) -> Iterator[Problem]:
    """Contradictions within one component and its overlays. `upstream` is None if that one is faulty."""
    kind = component.source.kind
    family = _FAMILIES.get(kind)
    if upstream and family and upstream.family != family:
        message = f"upstream {upstream.name!r} has {upstream.family} packages, and {kind!r} is for {family}"
        ours = isinstance(component.source, GoModule | FilesSource)
        advice = 'a spec of your own (kind = "rpm") can build it' if ours else None
        yield Problem(component.file, ("source", "kind"), message, advice)
    if not isinstance(component.source, GoModule):
        for key in _GO_ONLY:
            if key in component.build.model_fields_set:
                message = f"is for a go-module, not for {kind!r}"
                advice = None if kind == "files" else "make it an overlay, which says why"
                yield Problem(component.file, ("build", key), message, advice)
    if isinstance(component.source, GoModule | FilesSource):
        yield from _own_packages(component)
    elif component.packages:
        message = f"a {kind!r} says itself which packages it gives"
        yield Problem(component.file, ("packages",), message, 'an overlay with "package-split" makes another one')
    yield from _operations(component)


def _own_packages(component: Component) -> Iterator[Problem]:
    if not component.packages:
        yield Problem(component.file, ("packages",), f"a {component.source.kind!r} needs at least one package")
    programs = _programs(component.source) if isinstance(component.source, GoModule) else set()
    names: set[str] = set()
    for index, package in enumerate(component.packages):
        at: KeyPath = ("packages", index)
        if package.name in names:
            yield Problem(component.file, (*at, "name"), f"package {package.name!r} is there twice")
        names.add(package.name)
        for path in package.install:
            if is_program(path) and path.removeprefix("bin/") not in programs and programs:
                message = f"no package of source.packages gives a program {path!r}"
                suggestion = near(path, {f"bin/{one}" for one in programs})
                yield Problem(component.file, (*at, "install", path), message, suggestion)
        targets = [*package.install.values()]
        for target in sorted({one for one in targets if targets.count(one) > 1}):
            yield Problem(component.file, (*at, "install"), f"{target} is named twice")
        for number, unit in enumerate(package.units):
            if not unit.endswith(_UNITS):
                message = f"{unit!r} has no suffix of a systemd unit, such as .service"
                yield Problem(component.file, (*at, "units", number), message)
        for number, path in enumerate(package.conffiles):
            if not path.startswith("/etc/"):
                yield Problem(component.file, (*at, "conffiles", number), f"{path} is not below /etc")


def _programs(source: GoModule) -> set[str]:
    """Names of what `go build` makes: the last part of a package's path that is no major version."""
    paths = [(PurePosixPath(source.module) / package).parts for package in source.packages]
    return {next(part for part in reversed(parts) if not _is_major(part)) for parts in paths}


def _is_major(part: str) -> bool:
    return part.startswith("v") and part[1:].isdigit()


@dataclass(frozen=True)
class _Place:
    file: str
    key: KeyPath
    operation: str

    def __str__(self) -> str:
        return f"{self.operation} in {self.file}: {dotted(self.key)}"


def _operations(component: Component) -> Iterator[Problem]:
    """Operations that the source can't take, and pairs that undo or overwrite one another."""
    taken = SOURCES[component.source.kind]
    seen: dict[tuple[str, ...], list[tuple[str, _Place]]] = {}
    for overlay in component.overlays:
        for index, operation in enumerate(overlay.operations):
            place = _Place(overlay.file, ("operations", index), operation.op)
            if operation.op not in taken:
                message = f"{operation.op!r} can not be done to a {component.source.kind!r}"
                can = f"it can take {', '.join(sorted(taken))}" if taken else "it is ours already: change it in place"
                yield Problem(place.file, (*place.key, "op"), message, can)
                continue
            if isinstance(operation, PackageSplit) and operation.name in _upstreams(component.source):
                message = f"the upstream has a package {operation.name!r} already"
                yield Problem(place.file, (*place.key, "name"), message, "give what is split off another name")
            if (
                isinstance(operation, BuildOptionChange)
                and not operation.enabled
                and component.source.kind == "deb-source"
            ):
                message = "DEB_BUILD_OPTIONS holds what is switched on, and nothing can be switched off there"
                yield Problem(
                    place.file, (*place.key, "enabled"), message, "name the option that does it, or leave it out"
                )
            for claim in claims_of(operation):
                earlier = seen.setdefault(claim.subject, [])
                for how, other in earlier:
                    if not together(how, claim.how):
                        message = f"{operation.op} of {claim.subject[-1]!r} contradicts {other}"
                        yield Problem(place.file, place.key, message, "leave one of them")
                        break
                earlier.append((claim.how, place))


def _upstreams(source: Source) -> tuple[str, ...]:
    """Names of the packages that are the upstream's, where the definition tells them."""
    return source.packages if isinstance(source, DebBinary) else ()


def check_component_files(component: Component, root: Path) -> Iterator[Problem]:
    """What a component names in its folder must be there, and must be what it is named as."""
    if component.inherited and not isinstance(component.source, RpmSource):
        return
    folder = root / component.folder
    for overlay in component.overlays:
        for index, link in enumerate(overlay.links):
            if is_file_link(link):
                yield from _file(folder, link, overlay.file, ("links", index))
        for index, operation in enumerate(overlay.operations):
            if isinstance(operation, Brings):
                yield from _file(folder, operation.file, overlay.file, ("operations", index, "file"))
    source = component.source
    if source.kind == "rpm" and source.spec:
        yield from _file(folder, source.spec, component.file, ("source", "spec"))
    if isinstance(source, FilesSource):
        if not (folder / source.tree).is_dir():
            yield Problem(component.file, ("source", "tree"), f"there is no directory {component.folder}/{source.tree}")
            return
        folder /= source.tree
    for index, package in enumerate(component.packages):
        for path in package.install:
            there = isinstance(source, GoModule) and is_program(path)
            if not there and not (folder / path).is_dir():
                yield from _file(folder, path, component.file, ("packages", index, "install", path))
        for number, unit in enumerate(package.units):
            yield from _file(folder, unit, component.file, ("packages", index, "units", number))


def _file(folder: Path, name: str, file: str, key: KeyPath) -> Iterator[Problem]:
    """A plain file, reached without a link: what a component is made of is within its folder."""
    path = folder / name
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        yield Problem(file, key, f"there is no file {name!r} in the component's folder", near(path.name, beside))
        return
    if not stat.S_ISREG(mode) or not path.resolve().is_relative_to(folder.resolve()):
        yield Problem(file, key, f"{name!r} is not a plain file within the component's folder")
