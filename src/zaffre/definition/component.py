# SPDX-License-Identifier: Apache-2.0
"""The model of a component: what we build instead of inheriting it, `components/NAME/component.toml`.

A component without overlays is the upstream's source, built unchanged. What deviates from the upstream is an
overlay (`zaffre.definition.overlay`), so a table here never changes how an upstream's source is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, model_validator

from zaffre.definition.image import Items
from zaffre.definition.operations import PackageSplit
from zaffre.definition.overlay import Overlay
from zaffre.definition.values import (
    AbsolutePath,
    BuildOption,
    GoModulePath,
    GoModuleSum,
    GoModuleVersion,
    GoPackage,
    Identifier,
    Line,
    Model,
    PackageName,
    Relation,
    RelativePath,
    VariableName,
    VersionString,
)

COMPONENTS = "components"
COMPONENT_FILE = "component.toml"


class DebSource(Model):
    """A Debian source package of the upstream, from its signed Sources index."""

    kind: Literal["deb-source"]
    package: PackageName
    """Name of the source package."""


class DebBinary(Model):
    """Binary packages of a Debian upstream, taken bit for bit and packed anew: for splits that need no building."""

    kind: Literal["deb-binary"]
    packages: Annotated[Items[PackageName], Field(min_length=1)]
    """Names of the binary packages."""


class RpmSource(Model):
    """An RPM source package of the upstream, or a spec file of our own with its sources beside it."""

    kind: Literal["rpm"]
    package: PackageName | None = None
    """Name of the upstream's source package."""
    spec: RelativePath | None = None
    """A spec file in the component's folder."""

    @model_validator(mode="after")
    def _one(self) -> RpmSource:
        if (self.package is None) == (self.spec is None):
            message = "needs either package (of the upstream) or spec (a file of the component)"
            raise ValueError(message)
        return self


class GoModule(Model):
    """A Go module at one version, fetched through the host's module proxy and built without a network."""

    kind: Literal["go-module"]
    module: GoModulePath
    version: GoModuleVersion
    sum: GoModuleSum
    """Checksum of the module's files, as go.sum has it. What is fetched must have it."""
    within: Literal["module", "minor"] = "module"
    """How far `zaffre component update` may go: "module", to its newest release; "minor", to the newest of the same
    minor version, as v1.34.9 is of v1.34.4."""
    packages: Annotated[Items[GoPackage], Field(min_length=1)]
    """Packages of the module to build, such as "./cmd/kubelet"; each gives a program `bin/NAME`."""


class FilesSource(Model):
    """A tree of our own that becomes packages."""

    kind: Literal["files"]
    tree: RelativePath
    """A directory in the component's folder."""
    version: VersionString
    """Version of the packages."""


Source = Annotated[DebSource | DebBinary | RpmSource | GoModule | FilesSource, Field(discriminator="kind")]


class BuildSettings(Model):
    """How it is built. What changes the build of an upstream's source is an overlay and not set here; so is not to
    run its tests."""

    options: Items[BuildOption] = ()
    """go-module: build tags."""
    environment: Mapping[VariableName, Line] = {}
    """go-module: variables of the build's environment, such as GOEXPERIMENT."""
    link_flags: Items[Line] = ()
    """go-module: arguments of the linker (-ldflags), such as "-X main.version=1"."""
    fips: Line | None = None
    """go-module: GOFIPS140, the version of Go's cryptographic module to build with, such as "latest"."""
    time_limit_minutes: Annotated[int, Field(ge=1)] = 120
    """After which a build that has not ended is stopped. It changes no result."""


class OwnPackage(Model):
    """A package made of a Go module or a tree of ours."""

    name: PackageName
    description: Line
    """One line, without the package's name."""
    architecture: Literal["any", "all"] = "any"
    """"any": built for each machine; "all": the same for all of them."""
    install: Annotated[Mapping[RelativePath, AbsolutePath], Field(min_length=1)]
    """What goes where: `bin/NAME` is a program that the module gives, everything else a file or folder in the
    component's folder (for "files": in its tree)."""
    units: Items[RelativePath] = ()
    """Files of the component that are systemd units. They are installed, and enabled by nobody but an image."""
    conffiles: Items[AbsolutePath] = ()
    """Installed files below /etc that an update leaves alone when an administrator changed them."""
    depends: Items[Relation] = ()
    recommends: Items[Relation] = ()
    conflicts: Items[Relation] = ()
    replaces: Items[Relation] = ()
    provides: Items[Relation] = ()


class ComponentFile(Model):
    """`components/NAME/component.toml`: something that we build instead of inheriting it."""

    description: Line
    upstream: Identifier | None = None
    """The upstream that it comes from, or is built with. Else: `defaults.upstream`."""
    source: Source
    """What it is built from."""
    build: BuildSettings = Field(default_factory=BuildSettings)
    packages: Items[OwnPackage] = ()
    """go-module and files: the packages that are made. Other sources say themselves which they give."""


class Component(ComponentFile):
    """A loaded component. `overlays` are in the order in which they are applied."""

    name: PackageName
    overlays: Items[Overlay] = ()

    @property
    def folder(self) -> str:
        """Its folder, relative to the distribution."""
        return f"{COMPONENTS}/{self.name}"

    @property
    def file(self) -> str:
        return f"{self.folder}/{COMPONENT_FILE}"

    @property
    def inherited(self) -> bool:
        """Whether it is the upstream's source without a change."""
        return not self.overlays and isinstance(self.source, DebSource | DebBinary | RpmSource)

    def told_packages(self) -> frozenset[str] | None:
        """Names of the packages that it gives, where the definition alone tells; None where only its source can."""
        match self.source:
            case GoModule() | FilesSource():
                return frozenset(package.name for package in self.packages)
            case DebBinary(packages=packages):
                operations = [one for overlay in self.overlays for one in overlay.operations]
                return frozenset((*packages, *(one.name for one in operations if isinstance(one, PackageSplit))))
            case _:
                return None

    def named_files(self) -> tuple[str, ...]:
        """Files and folders that the component names, relative to its folder, each once."""
        found = [file for overlay in self.overlays for file in overlay.named_files()]
        match self.source:
            case RpmSource(spec=str(spec)):
                # A spec names its sources itself, in ways that only rpm can tell.
                found.append(PurePosixPath(spec).parent.as_posix())
            case FilesSource(tree=tree):
                found.append(tree)
            case GoModule():
                found += [path for package in self.packages for path in package.install if not is_program(path)]
                found += [unit for package in self.packages for unit in package.units]
            case _:
                pass
        return tuple(dict.fromkeys(found))


def is_program(path: str) -> bool:
    """Whether a source path of `install` names what the build gives, not a file of the component."""
    return path.startswith("bin/")
