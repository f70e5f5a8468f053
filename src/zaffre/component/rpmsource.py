# SPDX-License-Identifier: Apache-2.0
"""Operations on an unpacked RPM source: a folder with one spec file, its sources and patches (rpmbuild(8))."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from zaffre.component.faults import AlreadyError, NoMatchError, OperationError, near_matches
from zaffre.component.fileops import change_files, read_patch
from zaffre.component.sourcetree import SourceTree
from zaffre.component.spec import Spec, Tag, escaped
from zaffre.component.specpackages import change_dependency, drop, split
from zaffre.component.version import mark_of, newest, said
from zaffre.definition import Component
from zaffre.definition.operations import (
    BuildEnvironment,
    BuildFlag,
    BuildOptionChange,
    Define,
    DependsAdd,
    DependsChange,
    DependsRemove,
    FileAdd,
    FileRemove,
    FileRename,
    FileReplace,
    Operation,
    PackageDrop,
    PackageSplit,
    PatchAdd,
    PatchRemove,
    SearchReplace,
    TestsSkip,
)

_BCOND = re.compile(r"(\s*)%bcond(?:_with|_without)?\s+(\w+)(?:\s+(.*))?$")
_PATCH = re.compile(r"\s*%patch(?:(?P<glued>\d+)\b|\s+(?:.*\s)?-P\s*(?P<given>\d+)\b|\s+(?P<plain>\d+)\b)?")
_AUTO = re.compile(r"\s*%auto(?:setup|patch)\b(.*)$")
_FLAGS = {"CFLAGS": "build_cflags", "CXXFLAGS": "build_cxxflags", "LDFLAGS": "build_ldflags"}


class RpmSourceEditor:
    """Changes one source. `folder` is the component's."""

    def __init__(self, tree: SourceTree, folder: Path) -> None:
        self._tree = tree
        self._folder = folder
        specs = [name for name in tree.names() if "/" not in name and name.endswith(".spec")]
        if len(specs) != 1:
            raise OperationError("", f"an RPM source has one spec file, and this has {', '.join(specs) or 'none'}")
        self._path = specs[0]
        Spec(tree.text(self._path))

    def change(self, operation: Operation) -> None:
        match operation:
            case SearchReplace() | FileReplace():
                change_files(self._tree, operation, self._folder)
            case FileAdd() | FileRemove() | FileRename():
                self._file(operation)
            case TestsSkip() | PackageSplit() | PackageDrop() | Define() | BuildOptionChange():
                self._edit(lambda spec: _edit(spec, operation))
            case BuildFlag() | BuildEnvironment() | DependsAdd() | DependsChange() | DependsRemove():
                self._edit(lambda spec: _edit(spec, operation))
            case PatchAdd(file=file):
                self._add_patch(file)
            case PatchRemove(patch=name):
                self._edit(lambda spec: _remove_patch(spec, name))
                if self._tree.exists(PurePosixPath(name).name):
                    self._tree.remove(PurePosixPath(name).name)
            case _:
                pass  # version and changelog are written at the end

    def finish(self, component: Component, *, maintainer: str) -> str | None:
        """Append to the Release and write an entry of the changelog; the new Release as the spec has it."""
        release = ""

        def change(spec: Spec) -> None:
            nonlocal release
            release = _mark_release(spec, mark_of(component.overlays).rpm)
            day = newest(component.overlays)
            entry = [
                f"* {day:%a %b} {day:%d} {day:%Y} {maintainer}",
                *(f"- {escaped(one)}" for one in said(component.overlays)),
                "",
            ]
            section = spec.section("changelog")
            if section is None:
                spec.insert(len(spec.lines), ["", "%changelog", *entry])
            else:
                spec.insert(section.body, entry)

        self._edit(change)
        return release

    def _edit(self, change: Callable[[Spec], None]) -> None:
        spec = Spec(self._tree.text(self._path))
        change(spec)
        Spec(spec.text())  # what is written is well-formed
        self._tree.write(self._path, spec.text().encode())

    def _file(self, operation: FileAdd | FileRemove | FileRename) -> None:
        """A file beside the spec is a Source of it: the tag comes, goes and changes with the file."""
        change_files(self._tree, operation, self._folder)
        self._edit(lambda spec: _source_tag(spec, operation))

    def _add_patch(self, file: str) -> None:
        read_patch(self._folder / file)  # it is rpm that applies it, in %prep
        name = PurePosixPath(file).name
        content = (self._folder / file).read_bytes()
        if self._tree.exists(name):
            if self._tree.read(name) == content:
                raise AlreadyError("file", f"the source has the patch {name!r} with this very content")
            raise OperationError("file", f"the source has a file {name!r} already")
        self._tree.write(name, content)
        self._edit(lambda spec: _add_patch(spec, name))


def _edit(spec: Spec, operation: Operation) -> None:
    match operation:
        case DependsAdd() | DependsChange() | DependsRemove():
            change_dependency(spec, operation)
        case PackageSplit():
            split(spec, operation)
        case PackageDrop():
            drop(spec, operation)
        case Define():
            _define(spec, operation)
        case BuildOptionChange():
            _bcond(spec, operation)
        case BuildFlag(flag=flag, append=append):
            macro = _FLAGS[flag]
            spec.insert(0, [f"%global {macro} %{{?{macro}}} {append}"])
        case BuildEnvironment(name=name, value=value):
            section = spec.section("build")
            if section is None:
                raise NoMatchError("", "the spec has no %build")
            quoted = escaped(value).replace("'", "'\\''")
            spec.insert(section.body, [f"export {name}='{quoted}'"])
        case TestsSkip(reason=reason):
            section = spec.section("check")
            if section is None:
                raise NoMatchError("", "the spec has no %check, so there are no tests to skip")
            spec.insert(section.body, [f"# {escaped(reason)}", "exit 0"])
        case _:
            message = f"{operation.op} is no change of a spec"
            raise AssertionError(message)


def _define(spec: Spec, operation: Define) -> None:
    found = [(index, match) for index, match in spec.definitions() if match["name"] == operation.name]
    line = f"%global {operation.name} {operation.value}"
    if operation.new:
        if found:
            raise OperationError("new", f"the spec defines {operation.name!r} already, in line {found[0][0] + 1}")
        spec.insert(0, [line])
        return
    if not found:
        names = [match["name"] for _, match in spec.definitions()]
        raise NoMatchError(
            "name", f"the spec defines no macro {operation.name!r}", near=near_matches(operation.name, names)
        )
    if len(found) > 1:
        lines = ", ".join(str(index + 1) for index, _ in found)
        raise OperationError("name", f"the spec defines {operation.name!r} in several lines: {lines}")
    ((index, match),) = found
    if match["value"].strip() == operation.value:
        raise AlreadyError("value", f"{operation.name!r} is {operation.value!r} in the spec")
    end = spec.end_of_macro(index)
    start = spec.lines[index][: match.start("value")]
    spec.lines[index:end] = [f"{start}{operation.value}"]


def _bcond(spec: Spec, operation: BuildOptionChange) -> None:
    names: list[str] = []
    for index, line in enumerate(spec.lines):
        match = _BCOND.match(line)
        if match is None:
            continue
        names.append(match[2])
        if match[2] == operation.option:
            # %bcond_without NAME: on unless somebody says --without
            new = f"{match[1]}%bcond_{'without' if operation.enabled else 'with'} {match[2]}"
            if line.rstrip() == new:
                raise AlreadyError("enabled", f"%bcond {operation.option!r} is {_state(operation.enabled)} in the spec")
            spec.lines[index] = new
            return
    raise NoMatchError(
        "option", f"the spec has no %bcond {operation.option!r}", near=near_matches(operation.option, names)
    )


def _state(enabled: bool) -> str:  # noqa: FBT001 - a word for it
    return "on" if enabled else "off"


# Patches and sources


def _add_patch(spec: Spec, name: str) -> None:
    patches = [one for one in spec.tags(spec.preamble()) if one.name == "patch"]
    number = max((int(one.number) for one in patches if one.number), default=-1) + 1
    numbered = not patches or any(one.number for one in patches)
    tag = f"Patch{max(number, len(patches))}: {name}" if numbered else f"Patch: {name}"
    number = max(number, len(patches))
    others = patches or [one for one in spec.tags(spec.preamble()) if one.name == "source"]
    index = others[-1].line + 1 if others else spec.preamble().end
    spec.insert(spec.place(spec.preamble(), index), [tag])
    prep = spec.section("prep")
    if prep is None:
        raise NoMatchError("", "the spec has no %prep, where patches are applied")
    lines = range(prep.body, prep.end)
    automatic = [match[1] for line in lines if (match := _AUTO.match(spec.lines[line])) and _applies(spec.lines[line])]
    if automatic:
        strip = re.search(r"-p\s*(\d+)", automatic[0])
        if not strip or strip[1] != "1":
            given = f"-p{strip[1]}" if strip else "no -p1"
            raise OperationError("file", f"the spec applies its patches with {given}, and this patch is for -p1")
        return
    applied = [line for line in lines if _PATCH.match(spec.lines[line])]
    setup = [line for line in lines if re.match(r"\s*%(?:auto)?setup\b", spec.lines[line])]
    if not applied and not setup:
        raise NoMatchError("", "the spec has neither %setup nor %patch in %prep, after which a patch is applied")
    spec.insert(spec.place(prep, (applied or setup)[-1] + 1), [f"%patch -P {number} -p1"])


def _applies(line: str) -> bool:
    """Whether an %autosetup or %autopatch applies all patches: not with -N, nor with a choice of numbers."""
    return not re.search(r"\s-(?:N|m|M)\b", line)


def _remove_patch(spec: Spec, name: str) -> None:
    tags = [one for one in spec.tags(spec.preamble()) if one.name == "patch"]
    found = [one for one in tags if name in {one.value, _base(spec, one)}]
    if not found:
        near = near_matches(name, [_base(spec, one) for one in tags])
        raise NoMatchError("patch", f"no Patch line of the spec is {name!r}", near=near)
    tag = found[0]
    number = tag.number or str(tags.index(tag))
    prep = spec.section("prep")
    lines = range(prep.body, prep.end) if prep else range(0)
    applied = [
        line
        for line in lines
        if (match := _PATCH.match(spec.lines[line]))
        and number == (match["glued"] or match["given"] or match["plain"] or "0")
    ]
    later = tags[tags.index(tag) + 1 :]
    if not tag.number and any(not one.number for one in later) and any(_PATCH.match(spec.lines[one]) for one in lines):
        # The numbers of those after it follow from their places, and %patch lines have the numbers.
        raise OperationError("patch", f"the patches after {name!r} have no numbers of their own; use search-replace")
    for line in sorted([tag.line, *applied], reverse=True):
        del spec.lines[line]


def _base(spec: Spec, tag: Tag) -> str:
    return spec.expanded(tag.value).rpartition("/")[2]


def _source_tag(spec: Spec, operation: FileAdd | FileRemove | FileRename) -> None:
    tags = [one for one in spec.tags(spec.preamble()) if one.name == "source"]
    mine = [one for one in tags if _base(spec, one) == operation.path]
    match operation:
        case FileAdd(path=path):
            if mine or "/" in path:
                return
            number = max((int(one.number) for one in tags if one.number), default=len(tags) - 1) + 1
            index = tags[-1].line + 1 if tags else spec.preamble().end
            spec.insert(spec.place(spec.preamble(), index), [f"Source{number}: {path}"])
        case FileRemove():
            for one in reversed(mine):
                del spec.lines[one.line]
        case FileRename(to=to):
            for one in mine:
                spec.set_value(one, to)


def _mark_release(spec: Spec, suffix: str) -> str:
    tags = [one for one in spec.tags(spec.preamble()) if one.name == "release"]
    if not tags:
        raise OperationError("", "the spec is malformed: it has no Release")
    # %autorelease takes the rest of its line for arguments unless it stands in braces.
    value = re.sub(r"^%autorelease\b", "%{autorelease}", tags[0].value) + suffix
    spec.set_value(tags[0], value)
    return value
