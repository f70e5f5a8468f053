# SPDX-License-Identifier: Apache-2.0
"""The model of a distribution: `zaffre.toml`, and the loaded whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated

from pydantic import Field

from zaffre.definition.advisories import Advisories
from zaffre.definition.component import COMPONENTS, Component
from zaffre.definition.image import Image, Items
from zaffre.definition.merge import Origin
from zaffre.definition.release import Release, Waves
from zaffre.definition.repository import OwnRepository
from zaffre.definition.upstream import DebUpstream, Upstream
from zaffre.definition.values import (
    Architecture,
    Identifier,
    KeyPath,
    LaxArchitecture,
    Line,
    Model,
    PackageName,
    Url,
)
from zaffre.definition.vex import Statement
from zaffre.errors import DefinitionError

DISTRIBUTION_FILE = "zaffre.toml"
LOCK_FILE = "zaffre.lock"
TOOLS = "tools"
"""What the set of the tools is called in a lock, so that no image can be."""
MACHINES = "main"
"""The component (sources.list(5)) of the repository that machines use."""


class Identity(Model):
    """Who the distribution is, as os-release(5) says it."""

    id: Identifier
    """ID of os-release, and the first word of every image version."""
    name: Line
    """NAME of os-release."""
    version: Line
    """VERSION_ID of os-release."""
    home_url: Url | None = None
    support_url: Url | None = None

    @property
    def maintainer(self) -> str:
        """Who made a package or a change, as control files and changelogs name it. The address is one that nobody can
        have (RFC 2606).
        """
        return f"{self.name} <{self.id}@distribution.invalid>"


class Defaults(Model):
    """What an image or a command takes when nothing else is said."""

    architecture: LaxArchitecture = Architecture.AMD64
    upstream: Identifier


class PackageList(Model):
    """Packages solved and locked as a set of their own."""

    packages: Annotated[Items[PackageName], Field(min_length=1)]


class CrossTools(PackageList):
    """What it takes beside the tools for images of another architecture than the building machine's."""

    target: Items[PackageName] = ()
    """Packages of that architecture whose files the build takes: the boot loader and the stub of kernel images.
    Nothing of them is run."""


class Tools(PackageList):
    """The programs that build, run and check images."""

    unpacked: Items[PackageName] = ()
    """Packages beside those of which only the files are laid down, and no script is run: what a build reads, such as
    the modules of an SELinux policy."""
    cross: Mapping[LaxArchitecture, CrossTools] = {}
    """By architecture, what is added to build for it on a machine of another: an emulator for the scripts of packages,
    a machine to run images in. It is locked and fetched only where an image is for that architecture."""

    upstream: Identifier | None = None
    """Where they come from: a Debian archive. The default upstream, unless that is of another family."""


class DistributionFile(Model):
    """`zaffre.toml`."""

    distribution: Identity
    defaults: Defaults
    tools: Tools
    """The tools tree: the programs that build, run and check images."""
    seed: PackageList = PackageList(packages=("apt",))
    """What the bootstrap resolver installs to solve everything else with."""
    repository: OwnRepository | None = None
    """The repository of one's own: `zaffre repo`."""
    release: Release = Release()
    """How releases reach a fleet: `zaffre release`."""
    advisories: Advisories = Advisories()
    """What says which vulnerabilities are known: `zaffre scan`."""


@dataclass(frozen=True)
class Distribution:
    """A whole, valid distribution.

    For each image, `lineage` names the files it is merged from, lowest first and its own last, and `provenance`
    says where each value came from.
    """

    root: Path
    identity: Identity
    defaults: Defaults
    tools: Tools
    seed: PackageList
    upstreams: Mapping[str, Upstream]
    components: Mapping[str, Component]
    images: Mapping[str, Image]
    lineage: Mapping[str, tuple[str, ...]] = field(repr=False)
    provenance: Mapping[str, Mapping[KeyPath, Origin]] = field(repr=False)
    repository: OwnRepository | None = None
    release: Release = field(default_factory=Release)
    advisories: Advisories = field(default_factory=Advisories)
    statements: tuple[Statement, ...] = ()

    @property
    def lock_file(self) -> Path:
        return self.root / LOCK_FILE

    def image(self, name: str) -> Image:
        """The image called `name`; DefinitionError with near names if there is none."""
        if found := self.images.get(name):
            return found
        near = get_close_matches(name, self.images, n=1)
        raise DefinitionError(
            f"there is no image {name!r}",
            where=str(self.root / "images"),
            details="images: " + ", ".join(sorted(self.images)),
            resolution=f"did you mean {near[0]!r}?" if near else None,
        )

    def component(self, name: str) -> Component:
        """The component called `name`; DefinitionError with near names if there is none."""
        if found := self.components.get(name):
            return found
        near = get_close_matches(name, self.components, n=1)
        raise DefinitionError(
            f"there is no component {name!r}",
            where=str(self.root / COMPONENTS),
            resolution=f"did you mean {near[0]!r}?" if near else "'zaffre component list' lists them",
        )

    def declared_architectures(self, image: Image) -> tuple[Architecture, ...]:
        """What machines an image, or its base, says that it is for; empty if neither says it."""
        if not image.architectures and image.base is not None:
            return self.declared_architectures(self.image(image.base))
        return image.architectures

    def architectures_of(self, image: Image) -> tuple[Architecture, ...]:
        """What machines an image is for: at least one."""
        return self.declared_architectures(image) or (self.defaults.architecture,)

    def architecture_for(self, image: Image, name: str | None) -> Architecture:
        """The architecture to make `image` for: the one called `name`; for None the default one if the image is for it,
        else its first. DefinitionError for one that no upstream has.
        """
        its = self.architectures_of(image)
        if name is None:
            return self.defaults.architecture if self.defaults.architecture in its else its[0]
        return self.architecture(name)

    def architecture(self, name: str | None) -> Architecture:
        """The architecture called `name`, the default one for None; DefinitionError for one that no upstream has."""
        if name is None:
            return self.defaults.architecture
        known = sorted({str(one) for upstream in self.upstreams.values() for one in upstream.architectures})
        if name not in known:
            near = get_close_matches(name, known, n=1)
            raise DefinitionError(
                f"there is no architecture {name!r}",
                where="--arch",
                details="architectures of the upstreams: " + ", ".join(known),
                resolution=f"did you mean {near[0]!r}?" if near else "name one of these",
            )
        return Architecture(name)

    def upstream(self, name: str | None = None) -> Upstream:
        """An upstream by name (which an image has checked), or the default one."""
        return self.upstreams[name or self.defaults.upstream]

    @property
    def tools_upstream(self) -> DebUpstream:
        """Where the tools tree comes from, which the loader has checked to be a Debian archive."""
        return self._debian(self.tools.upstream)

    @property
    def repository_packages(self) -> tuple[str, ...]:
        """What the repository of one's own has besides what images are made of."""
        return self.repository.packages if self.repository is not None else ()

    @property
    def gives_sources(self) -> bool:
        """Whether the repository of one's own has source packages too."""
        return self.repository is not None and self.repository.sources

    @property
    def repository_upstream(self) -> DebUpstream:
        """Where those packages come from, which the loader has checked to be a Debian archive."""
        return self._debian(self.own_repository.upstream)

    def _debian(self, name: str | None) -> DebUpstream:
        found = self.upstream(name)
        if not isinstance(found, DebUpstream):
            raise TypeError(found.name)
        return found

    def upstream_of(self, image: Image) -> Upstream:
        return self.upstreams[image.upstream]

    def upstream_of_component(self, component: Component) -> Upstream:
        return self.upstream(component.upstream)

    @property
    def own_repository(self) -> OwnRepository:
        """What `[repository]` says. DefinitionError where there is no such table."""
        if self.repository is None:
            raise DefinitionError(
                "the distribution has no repository of its own",
                where=f"{DISTRIBUTION_FILE}: repository",
                resolution='add [repository] with url = "https://…", where machines will reach it',
            )
        return self.repository

    def apt_sources(self, channel: str) -> str:
        """The deb822 text (sources.list(5)) with which apt follows a channel of the repository, and trusts its key.

        It names `archive_keyring`, which has to be on the machine. Raises DefinitionError for an unknown channel.
        """
        return self._apt_source(self.channel(channel), f" {self.archive_keyring}")

    def apt_source(self, suite: str, certificate: str) -> str:
        """The same for any suite, with the key in it: an armoured certificate."""
        lines = certificate.strip().splitlines()
        return self._apt_source(suite, "".join(f"\n {line.strip() or '.'}" for line in lines))

    def _apt_source(self, suite: str, signed_by: str) -> str:
        types = "deb deb-src" if self.gives_sources else "deb"
        return (
            f"Types: {types}\nURIs: {self.own_repository.url}\nSuites: {suite}\nComponents: {MACHINES}\n"
            f"Signed-By:{signed_by}\n"
        )

    def channel(self, name: str | None = None) -> str:
        """A channel of the repository by name, or the first one. DefinitionError with near names if there is none."""
        channels = self.own_repository.channels
        if name is None:
            return channels[0]
        if name in channels:
            return name
        near = get_close_matches(name, channels, n=1)
        raise DefinitionError(
            f"there is no channel {name!r}",
            where=f"{DISTRIBUTION_FILE}: repository.channels",
            details="channels: " + ", ".join(channels),
            resolution=f"did you mean {near[0]!r}?" if near else "name one of these, or add it there",
        )

    def waves(self, name: str) -> Waves:
        """A schedule of `[release.waves]` by name. DefinitionError with near names if there is none."""
        known = self.release.waves
        if found := known.get(name):
            return found
        near = get_close_matches(name, known, n=1)
        raise DefinitionError(
            f"there is no wave schedule {name!r}",
            where=f"{DISTRIBUTION_FILE}: release.waves",
            details="schedules: " + ", ".join(known) if known else None,
            resolution=f"did you mean {near[0]!r}?" if near else f"add [release.waves.{name}] with its steps",
        )

    @property
    def archive_keyring(self) -> str:
        """Where a machine has the repository's public key."""
        return f"/usr/share/keyrings/{self.identity.id}-archive-keyring.gpg"

    def path(self, relative: str) -> Path:
        """A path that the definition names, on this machine."""
        return self.root / relative
