# SPDX-License-Identifier: Apache-2.0
"""Dependencies and binary packages of a spec: added, changed, split off, dropped."""

from __future__ import annotations

import fnmatch
import re
from pathlib import PurePosixPath

from zaffre.component.faults import AlreadyError, NoMatchError, OperationError, near_matches
from zaffre.component.spec import Section, Spec, Tag, is_conditional
from zaffre.definition.operations import (
    DependencyField,
    DependsAdd,
    DependsChange,
    DependsRemove,
    PackageDrop,
    PackageSplit,
)

_TAGS = {
    DependencyField.BUILD_DEPENDS: "BuildRequires",
    DependencyField.BUILD_CONFLICTS: "BuildConflicts",
    DependencyField.PRE_DEPENDS: "Requires(pre)",
    DependencyField.DEPENDS: "Requires",
    DependencyField.RECOMMENDS: "Recommends",
    DependencyField.SUGGESTS: "Suggests",
    DependencyField.ENHANCES: "Enhances",
    DependencyField.CONFLICTS: "Conflicts",
    DependencyField.REPLACES: "Obsoletes",
    DependencyField.PROVIDES: "Provides",
}
# A name with its version. A name may hold parentheses, as pkgconfig(x) does; a rich dependency begins with one.
_RELATION = re.compile(
    r"(?P<name>\((?:[^()]|\([^()]*\))*\)|[^\s,()]+(?:\([^()]*\))*)(?P<version>\s*(?:<=|>=|=|<|>)\s*[^\s,]+)?"
)
_DIRECTIVE = re.compile(
    r"%(?:attr|config|caps|verify|lang|defattr)\([^)]*\)\s*|%(?:config|ghost|artifact|missingok)\s+"
)
_NOT_INSTALLED = ("%doc", "%license", "%exclude", "%dir", "%if", "%else", "%endif", "#")


def change_dependency(spec: Spec, operation: DependsAdd | DependsChange | DependsRemove) -> None:
    written = _TAGS.get(operation.field)
    if written is None:
        raise OperationError("field", f"RPM has no {operation.field}")
    section = spec.preamble() if operation.package is None else _package(spec, operation.package)
    name, qualifier = (written.partition("(")[0].lower(), "(pre)" if "(" in written else "")
    tags = [one for one in spec.tags(section) if one.name == name and (not qualifier or qualifier == one.qualifier)]
    if isinstance(operation, DependsAdd):
        _add(spec, section, tags, f"{written}:", operation.relation)
        return
    replacement = operation.relation if isinstance(operation, DependsChange) else None
    names: list[str] = []
    found = False
    for tag in reversed(tags):
        relations = [*_RELATION.finditer(tag.value)]
        names += [spec.expanded(one["name"]) for one in relations]
        hits = [one for one in relations if operation.name in {one["name"], spec.expanded(one["name"])}]
        if not hits:
            continue
        found = True
        kept = [replacement if one in hits else one[0] for one in relations]
        rest = ", ".join(one for one in kept if one is not None)
        if rest == tag.value:
            raise AlreadyError("relation", f"{written} has {replacement!r} already")
        if rest:
            spec.set_value(tag, rest)
        else:
            del spec.lines[tag.line]
    if not found:
        message = f"no {written} of {operation.package or 'the source'} is on {operation.name!r}"
        raise NoMatchError("name", message, near=near_matches(operation.name, names))


def _add(spec: Spec, section: Section, tags: list[Tag], written: str, relation: str) -> None:
    for tag in tags:
        if any(_normal(one[0]) == _normal(relation) for one in _RELATION.finditer(tag.value)):
            raise AlreadyError("relation", f"{written} {relation} is there already")
    after = [*(tags or spec.tags(section))]
    index = spec.place(section, after[-1].line + 1 if after else section.body)
    spec.insert(index, [f"{written} {relation}"])


def _normal(relation: str) -> str:
    return re.sub(r"\s+", "", relation)


def _package(spec: Spec, name: str) -> Section:
    if name == spec.main_name():
        return spec.preamble()
    for section in spec.sections():
        if section.kind == "package" and spec.package_of(section) == name:
            return section
    raise NoMatchError("package", f"the spec has no package {name!r}", near=near_matches(name, spec.packages()))


def split(spec: Spec, operation: PackageSplit) -> None:
    """Make a package of files that another one lists, and take them out of its list."""
    _package(spec, operation.package)
    if operation.name in spec.packages():
        raise AlreadyError("name", f"the spec has a package {operation.name!r} already")
    files = [one for one in spec.sections() if one.kind == "files" and spec.package_of(one) == operation.package]
    if not files:
        raise NoMatchError("package", f"the spec lists no %files for {operation.package!r}")
    moved: list[str] = []
    excluded: list[str] = []
    for path in operation.paths:
        exact = [index for one in files for index in range(one.body, one.end) if _listed(spec, index) == f"/{path}"]
        if exact:
            moved += [spec.lines[index] for index in exact]
            for index in exact:
                spec.lines[index] = ""
        elif any(_covers(spec, index, f"/{path}") for one in files for index in range(one.body, one.end)) or any(
            "-f" in one.arguments.split() for one in files
        ):
            moved.append(f"/{path}")
            excluded.append(f"%exclude /{path}")
        else:
            listed = [_listed(spec, index) for one in files for index in range(one.body, one.end)]
            near = near_matches(f"/{path}", [one for one in listed if one])
            raise NoMatchError("paths", f"%files of {operation.package!r} has no /{path}", near=near)
    spec.insert(files[0].body, excluded)
    spec.insert(spec.place_before(["changelog"]), ["", f"%files -n {operation.name}", *moved, ""])
    head = [f"%package -n {operation.name}", f"Summary: {operation.description}"]
    head += [f"Requires: {one}" for one in operation.depends]
    # Whoever updates finds the files that were in one package in two: the older one must go at the same time.
    head += [f"Conflicts: {operation.package} < %{{?epoch:%{{epoch}}:}}%{{version}}-%{{release}}", ""]
    head += [f"%description -n {operation.name}", f"{operation.description}.", ""]
    spec.insert(spec.place_before(["prep", "changelog"]), head)


def drop(spec: Spec, operation: PackageDrop) -> None:
    """Remove a package with all its sections, and what it alone listed from what is installed."""
    if operation.package == spec.main_name():
        raise OperationError("package", f"{operation.package!r} is the main package of the spec")
    _package(spec, operation.package)
    removed: list[str] = []
    for section in reversed(spec.sections()):
        if section.kind in {"", "changelog"} or spec.package_of(section) != operation.package:
            continue
        if section.kind == "files":
            listed = [_listed(spec, index) for index in range(section.body, section.end)]
            removed += [path for path in listed if path]
        if section.kind in {"prep", "build", "install", "check", "clean", "conf", "generate_buildrequires"}:
            continue
        spec.lines[section.start : section.end] = filter(is_conditional, spec.lines[section.start : section.end])
    install = spec.section("install")
    if install and removed:
        lines = [f"rm -rf %{{buildroot}}{path}" for path in removed]
        spec.insert(spec.end_of(install), [f"# {operation.package} is not built", *lines])


def _listed(spec: Spec, index: int) -> str | None:
    """The installed path of a line of %files, expanded; None for one that lists none."""
    line = spec.lines[index].strip()
    if not line or line.startswith(_NOT_INSTALLED):
        return None
    path = spec.expanded(_DIRECTIVE.sub("", line).strip().strip('"'))
    return path if path.startswith("/") else None


def _covers(spec: Spec, index: int, path: str) -> bool:
    listed = _listed(spec, index)
    if listed is None:
        return False
    parents = [path, *map(str, PurePosixPath(path).parents)]
    return any(fnmatch.fnmatchcase(one, listed.rstrip("/")) for one in parents if one != "/")
