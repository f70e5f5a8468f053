# SPDX-License-Identifier: Apache-2.0
"""What an overlay can do to a source: each operation a model, told apart by `op`.

A path is one of the unpacked source, a file one in the component's folder. `SOURCES` says which kinds of source
can take an operation. Every operation must match something, which only applying it can tell.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field, model_validator

from zaffre.definition.image import Items
from zaffre.definition.values import (
    BuildOption,
    DependencyName,
    Line,
    MacroName,
    Model,
    PackageName,
    PathPattern,
    Relation,
    RelativePath,
    VariableName,
)


class PatchAdd(Model):
    """Add a patch after those of the source, and apply it."""

    op: Literal["patch-add"]
    file: RelativePath
    """The patch, a unified diff with one leading directory (-p1)."""


class PatchRemove(Model):
    """Take away a patch of the source."""

    op: Literal["patch-remove"]
    patch: RelativePath
    """Its name as the source has it: in debian/patches/series, or on a Patch line of the spec."""


class FileAdd(Model):
    """Add a file that the source does not have."""

    op: Literal["file-add"]
    path: RelativePath
    """Its path in the source."""
    file: RelativePath
    """Its content: a file in the component's folder. It is a program if that one is."""


class FileReplace(Model):
    """Replace a file of the source."""

    op: Literal["file-replace"]
    path: RelativePath
    """Its path in the source."""
    file: RelativePath
    """Its content: a file in the component's folder. It is a program if that one is."""


class FileRemove(Model):
    """Remove a file of the source."""

    op: Literal["file-remove"]
    path: RelativePath
    """Its path in the source."""


class FileRename(Model):
    """Give a file of the source another path."""

    op: Literal["file-rename"]
    path: RelativePath
    """Its path in the source."""
    to: RelativePath
    """The new path, where nothing is."""


class SearchReplace(Model):
    """Replace text in a file of the source."""

    op: Literal["search-replace"]
    path: RelativePath
    """Path of the file in the source."""
    search: Annotated[str, Field(min_length=1)]
    replace: str
    regex: bool = False
    """Whether `search` is a regular expression of Python, in which ^ and $ are the ends of a line."""
    count: Annotated[int, Field(ge=1)] | None = None
    """How often it must be found. Else: at least once."""

    @model_validator(mode="after")
    def _sense(self) -> SearchReplace:
        if not self.regex:
            if self.search == self.replace:
                message = "replaces a text by itself"
                raise ValueError(message)
            return self
        try:
            re.compile(self.search, re.MULTILINE).sub(self.replace, "")
        except (re.error, IndexError) as error:
            message = f"is no regular expression: {error}"
            raise ValueError(message) from error
        return self


class BuildOptionChange(Model):
    """Switch an option of the build on or off: a word of DEB_BUILD_OPTIONS, or a %bcond of the spec."""

    op: Literal["build-option"]
    option: BuildOption
    enabled: bool = True
    """rpm: which way the %bcond goes. DEB_BUILD_OPTIONS has nothing to switch off."""


class BuildProfile(Model):
    """Build with a profile (DEB_BUILD_PROFILES), such as "nodoc" or "pkg.NAME.nogui"."""

    op: Literal["build-profile"]
    profile: BuildOption


class CompilerFlag(StrEnum):
    """Variables that Debian's and RPM's build flags have in common."""

    CFLAGS = "CFLAGS"
    CXXFLAGS = "CXXFLAGS"
    LDFLAGS = "LDFLAGS"


class BuildFlag(Model):
    """Append to the flags that compiler or linker are called with."""

    op: Literal["build-flag"]
    flag: Annotated[CompilerFlag, Field(strict=False)]
    append: Line


class BuildEnvironment(Model):
    """Set a variable of the build's environment."""

    op: Literal["build-environment"]
    name: VariableName
    value: str


class Define(Model):
    """Give a macro that the spec defines by %define or %global another value."""

    op: Literal["define"]
    name: MacroName
    value: Line
    new: bool = False
    """Whether the macro is one that the spec does not define."""


class DependencyField(StrEnum):
    """Kinds of dependency, by Debian's names; for RPM each has its tag."""

    BUILD_DEPENDS = "build-depends"
    BUILD_DEPENDS_ARCH = "build-depends-arch"
    BUILD_DEPENDS_INDEP = "build-depends-indep"
    BUILD_CONFLICTS = "build-conflicts"
    PRE_DEPENDS = "pre-depends"
    DEPENDS = "depends"
    RECOMMENDS = "recommends"
    SUGGESTS = "suggests"
    ENHANCES = "enhances"
    BREAKS = "breaks"
    CONFLICTS = "conflicts"
    REPLACES = "replaces"
    PROVIDES = "provides"

    @property
    def of_the_source(self) -> bool:
        """Whether the source has it, not one of its packages."""
        return self.startswith("build-")


class _Dependency(Model):
    field: Annotated[DependencyField, Field(strict=False)]
    """Kind of dependency. For RPM, "depends" is Requires, "replaces" is Obsoletes."""
    package: PackageName | None = None
    """The binary package that has it. Left out for dependencies of the build."""

    @model_validator(mode="after")
    def _whose(self) -> _Dependency:
        if self.field.of_the_source and self.package is not None:
            message = f"{self.field} is of the source, so no package is named"
            raise ValueError(message)
        if not self.field.of_the_source and self.package is None:
            message = f"{self.field} is of a binary package, so package is required"
            raise ValueError(message)
        return self


class DependsAdd(_Dependency):
    """Add a dependency."""

    op: Literal["depends-add"]
    relation: Relation
    """The dependency as the package's own format has it, such as "libexpat1-dev (>= 2.5)"."""


class DependsChange(_Dependency):
    """Replace a dependency on a package by another one."""

    op: Literal["depends-change"]
    name: DependencyName
    """What is depended on now."""
    relation: Relation


class DependsRemove(_Dependency):
    """Remove a dependency on a package. Of alternatives, the one that is named goes."""

    op: Literal["depends-remove"]
    name: DependencyName


class PackageSplit(Model):
    """Move files of a binary package into a new one of the same version."""

    op: Literal["package-split"]
    package: PackageName
    """The package that has the files now."""
    name: PackageName
    """The new package."""
    description: Line
    paths: Annotated[Items[PathPattern], Field(min_length=1)]
    """Installed paths that move, relative to /, as glob patterns: "usr/bin/ctr"."""
    depends: Items[Relation] = ()


class PackageDrop(Model):
    """Do not build a binary package of the source."""

    op: Literal["package-drop"]
    package: PackageName


class TestsSkip(Model):
    """Do not run the source's own tests."""

    op: Literal["tests-skip"]
    reason: Line
    """Why they can not be run."""


class VersionChange(Model):
    """How far the version is from the upstream's. Without it, a source with overlays is revision 1 of it."""

    op: Literal["version"]
    revision: Annotated[int, Field(ge=1)]
    """N of the suffix: +zN for Debian, .zN for RPM."""
    ahead: bool = False
    """Whether it fixes what the upstream has not fixed yet: +0zN, so that the upstream's own fix is newer."""


class ChangelogEntry(Model):
    """Say this in the changelog. Without it, the reasons of the overlays are said."""

    op: Literal["changelog"]
    text: Line


Brings = PatchAdd | FileAdd | FileReplace
"""Operations that bring a file of the component."""

Operation = Annotated[
    PatchAdd
    | PatchRemove
    | FileAdd
    | FileReplace
    | FileRemove
    | FileRename
    | SearchReplace
    | BuildOptionChange
    | BuildProfile
    | BuildFlag
    | BuildEnvironment
    | Define
    | DependsAdd
    | DependsChange
    | DependsRemove
    | PackageSplit
    | PackageDrop
    | TestsSkip
    | VersionChange
    | ChangelogEntry,
    Field(discriminator="op"),
]

_FILES = frozenset({"file-add", "file-replace", "file-remove", "file-rename", "search-replace"})
_PACKAGES = frozenset({"depends-add", "depends-change", "depends-remove", "package-split", "package-drop"})
_BUILD = frozenset({"build-option", "build-environment", "tests-skip"})
_ALL = frozenset({"version", "changelog"})
_PATCHES = frozenset({"patch-add", "patch-remove"})

SOURCES: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "deb-source": _ALL | _FILES | _PATCHES | _PACKAGES | _BUILD | {"build-profile", "build-flag"},
        "rpm": _ALL | _FILES | _PATCHES | _PACKAGES | _BUILD | {"build-flag", "define"},
        "deb-binary": _ALL | _PACKAGES,
        "go-module": _ALL | _FILES | {"patch-add", "build-environment", "tests-skip"},
        "files": frozenset(),
    }
)
"""The operations that each kind of source can take. A tree of ours is changed in place."""
