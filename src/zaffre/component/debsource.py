# SPDX-License-Identifier: Apache-2.0
"""Operations on an unpacked Debian source package (dpkg-source(1), debhelper(7)).

The source is as `dpkg-source --extract` leaves it: patches applied, and told of in .pc/ when its format is
"3.0 (quilt)". It stays so, since dpkg-buildpackage looks there whether anything is left to apply. Only binary
packages are built from it, so changes outside of patches are no hindrance.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from zaffre.component import patch as patches
from zaffre.component.debcontrol import CONTROL, Control
from zaffre.component.faults import AlreadyError, NoMatchError, OperationError, near_matches
from zaffre.component.fileops import apply_patch, change_files, content_of, read_patch
from zaffre.component.sourcetree import SourceTree
from zaffre.component.version import deb_change
from zaffre.definition import Component
from zaffre.definition.operations import (
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
)

_CHANGELOG = "debian/changelog"
_FORMAT = "debian/source/format"
_SERIES = "debian/patches/series"
_RULES = "debian/rules"
_APPLIED = ".pc/applied-patches"
_QUILT = {".pc/.version": b"2\n", ".pc/.quilt_patches": b"debian/patches\n", ".pc/.quilt_series": b"series\n"}
_DH = re.compile(r"^\t\s*dh\s+\$@|^\t\s*dh\s+\$\*", re.MULTILINE)


class DebSourceEditor:
    """Changes one source. `folder` is the component's. What an operation does is all done when it returns."""

    def __init__(self, tree: SourceTree, folder: Path) -> None:
        self._tree = tree
        self._folder = folder
        if not tree.exists(CONTROL):
            raise OperationError("", f"this is no Debian source: it has no {CONTROL}")
        self._quilt = tree.exists(_FORMAT) and tree.text(_FORMAT).strip() == "3.0 (quilt)"
        if self._quilt and self._series() and not tree.exists(_APPLIED):
            raise OperationError("", "the source was unpacked without its patches; they have to be applied")

    def change(self, operation: Operation) -> None:
        match operation:
            case PatchAdd(file=file):
                self._add_patch(file)
            case PatchRemove(patch=name):
                self._remove_patch(name)
            case DependsAdd() | DependsChange() | DependsRemove():
                self._control(lambda control: control.change_dependency(operation))
            case PackageSplit():
                self._split(operation)
            case PackageDrop(package=package):
                self._drop(package)
            case FileAdd() | FileReplace() | FileRemove() | FileRename() | SearchReplace():
                change_files(self._tree, operation, self._folder)
            case _:
                pass  # settings of the build (zaffre.component.settings), and what is said of the version at the end

    def finish(self, component: Component, *, maintainer: str) -> str | None:
        """Write an entry of debian/changelog with the new version, and return the version."""
        done = deb_change(self._tree.text(_CHANGELOG, key=""), component.overlays, maintainer=maintainer)
        self._tree.write(_CHANGELOG, done.changelog.encode())
        return done.version

    def _control(self, change: Callable[[Control], None]) -> Control:
        control = Control(self._tree.text(CONTROL, key=""))
        change(control)
        self._tree.write(CONTROL, control.text().encode())
        return control

    # Patches

    def _series(self) -> list[str]:
        """Names of the patches, without options and comments (quilt(1): series)."""
        if not self._tree.exists(_SERIES):
            return []
        lines = [line.partition("#")[0].split() for line in self._tree.text(_SERIES).splitlines()]
        return [words[0] for words in lines if words]

    def _add_patch(self, file: str) -> None:
        name = PurePosixPath(file).name
        path = self._folder / file
        patch = read_patch(path)
        of_the_packaging = any(one.startswith("debian/") for one in patches.paths_of(patch))
        if not self._quilt or of_the_packaging:
            apply_patch(self._tree, patch)  # dpkg-source takes no patch of debian/ into its series
            return
        if name in self._series():
            raise OperationError("file", f"{_SERIES} has a patch {name!r} already")
        before = content_of(self._tree, patch, key="file")
        apply_patch(self._tree, patch)
        for one in sorted(patches.paths_of(patch)):
            self._tree.write(f".pc/{name}/{one}", before.get(one, b""))
        self._tree.write(f"debian/patches/{name}", path.read_bytes())
        self._append(_SERIES, name)
        for quilt, content in _QUILT.items():
            self._tree.write(quilt, content)
        self._append(_APPLIED, name)

    def _append(self, path: str, line: str) -> None:
        old = self._tree.text(path) if self._tree.exists(path) else ""
        end = "" if not old or old.endswith("\n") else "\n"
        self._tree.write(path, f"{old}{end}{line}\n".encode())

    def _remove_patch(self, name: str) -> None:
        series = self._series()
        found = [one for one in series if name in {one, PurePosixPath(one).name}]
        if not self._quilt or not found:
            message = f"{_SERIES} has no patch {name!r}" if self._quilt else "the source has no series of patches"
            raise NoMatchError("patch", message, near=near_matches(name, series))
        full = found[0]
        text = self._tree.read(f"debian/patches/{full}", key="patch")
        try:
            patch = patches.parse(text)
        except patches.PatchError as error:
            raise OperationError("patch", f"debian/patches/{full}, {error.where}: {error.brief}") from error
        try:
            apply_patch(self._tree, patches.reverse(patch), key="patch")
        except (NoMatchError, AlreadyError) as error:
            later = self._touching(patch, series[series.index(full) + 1 :])
            message = f"{full} can not be taken back from the source"
            if later:
                message += f": {', '.join(later)} after it changes the same files"
            raise OperationError("patch", message, details=error.details) from error
        self._tree.remove(f"debian/patches/{full}")
        self._tree.remove_folder(f".pc/{full}")
        for path in (_SERIES, _APPLIED):
            kept = [line for line in self._tree.text(path).splitlines(keepends=True) if line.split()[:1] != [full]]
            self._tree.write(path, "".join(kept).encode())

    def _touching(self, patch: patches.Patch, names: list[str]) -> list[str]:
        touched = patches.paths_of(patch)
        found: list[str] = []
        for name in names:
            try:
                other = patches.parse(self._tree.read(f"debian/patches/{name}"))
            except (patches.PatchError, OperationError):
                continue
            if touched & patches.paths_of(other):
                found.append(name)
        return found

    # Packages

    def _drop(self, package: str) -> None:
        control = self._control(lambda one: one.drop(package))
        for name in [*self._tree.names("debian")]:
            if name.startswith(f"debian/{package}."):
                self._tree.remove(name)
        if len(control.packages) == 1:
            # With one package, debhelper installs all files into it; the list of its files is to count as before.
            self._add_target("override_dh_auto_install", ["dh_auto_install --destdir=debian/tmp"], needed=False)

    def _split(self, operation: PackageSplit) -> None:
        self._control(lambda control: control.split(operation))
        moved, others = self._move_lines(operation)
        if moved:
            self._tree.write(f"debian/{operation.name}.install", "".join(f"{line}\n" for line in moved).encode())
        if others:
            old, new = f"debian/{operation.package}", f"debian/{operation.name}"
            lines = []
            for path in others:
                parent = str(PurePosixPath(path).parent)
                lines += [f"mkdir -p {new}/{parent}", f"mv {old}/{path} {new}/{parent}/"]
            self._add_target("execute_after_dh_install", lines, needed=True)

    def _move_lines(self, operation: PackageSplit) -> tuple[list[str], list[str]]:
        """Lines of debian/PACKAGE.install that are of the new package, and paths that no line is for alone.

        Those are covered by a folder or a pattern of a line, or the package has no such file at all.
        """
        file = f"debian/{operation.package}.install"
        if not self._tree.exists(file):
            return [], [*operation.paths]
        if self._tree.executable(file):
            return [], [*operation.paths]  # dh-exec(1): a program, whose lines are no plain list
        lines = self._tree.text(file).splitlines()
        moved: list[str] = []
        others: list[str] = []
        for path in operation.paths:
            exact = [line for line in lines if path in _installed(line)]
            if exact:
                moved += exact
                lines = [line for line in lines if line not in exact]
            elif any(_covers(one, path) for line in lines for one in _installed(line)):
                others.append(path)
            else:
                known = [one for line in lines for one in _installed(line)]
                raise NoMatchError("paths", f"{file} installs nothing as {path!r}", near=near_matches(path, known))
        self._tree.write(file, "".join(f"{line}\n" for line in lines).encode())
        return moved, others

    def _add_target(self, target: str, lines: list[str], *, needed: bool) -> None:
        """Add a target to debian/rules, which dh(1) calls at its time."""
        rules = self._tree.text(_RULES)
        if re.search(rf"^{target}(?:-arch|-indep)?\s*:", rules, re.MULTILINE):
            if needed:
                raise OperationError("paths", f"{_RULES} has a target {target} already; change it by search-replace")
            return
        if not _DH.search(rules):
            if needed:
                raise OperationError("paths", f"{_RULES} does not call dh, so there is no place for {target}")
            return
        body = "".join(f"\t{line}\n" for line in lines)
        self._tree.write(_RULES, f"{rules.rstrip()}\n\n{target}:\n{body}".encode(), executable=True)


def _installed(line: str) -> list[str]:
    """Paths that a line of an install file gives, relative to / (dh_install(1)): by its destination, or as it is."""
    words = line.partition("#")[0].split()
    if not words or "=>" in words:
        return []
    if len(words) == 1:
        return [words[0].removeprefix("debian/tmp/").strip("/")]
    *sources, destination = words
    return [f"{destination.strip('/')}/{PurePosixPath(source).name}" for source in sources]


def _covers(pattern: str, path: str) -> bool:
    """Whether a path or pattern of an install file, or a folder that it names, contains the path."""
    parts = PurePosixPath(path).parts
    return any(fnmatch.fnmatchcase("/".join(parts[:end]), pattern) for end in range(1, len(parts) + 1))
