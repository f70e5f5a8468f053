# SPDX-License-Identifier: Apache-2.0
"""The models of `upstreams/*.toml`: the signed repositories that images derive from, one model for each family."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from zaffre.definition.image import Items
from zaffre.definition.values import (
    Architecture,
    Identifier,
    LaxArchitecture,
    LaxVerification,
    Line,
    Model,
    PackageName,
    RelativePath,
    RepositoryPath,
    SecureUrlPattern,
    Url,
)
from zaffre.errors import DefinitionError

_RPM_ARCHITECTURES = {Architecture.AMD64: "x86_64", Architecture.ARM64: "aarch64"}


class Suite(Model):
    """One suite of a Debian archive."""

    archive: Identifier
    """Name of the archive that holds it; a mirror is configured for that name, never here."""
    suite: Line
    """Its directory below dists/."""
    components: Annotated[Items[Line], Field(min_length=1)]
    max_age_days: Annotated[int, Field(ge=1)] | None = None
    """For a suite whose Release has no Valid-Until: the age at which it is refused."""


class Archive(Model):
    """A hint for finding a mirror of an archive."""

    path: RelativePath
    """Directory under which mirrors usually have it."""


class Repository(Model):
    """One repository of RPM packages: a directory with a repodata/."""

    archive: Identifier
    """Name of the archive that holds it."""
    path: RepositoryPath
    """Its directory below the archive's root; "{basearch}" is x86_64 or aarch64 there, "{arch}" amd64 or arm64."""
    verify: LaxVerification
    """What vouches for its repomd.xml: a signature by the keyring ("signature"), or the project's metalink."""
    metalink: SecureUrlPattern | None = None
    """With verify = "metalink": where the project publishes the hash of repomd.xml; TLS is what vouches for it."""
    max_age_days: Annotated[int, Field(ge=1)] | None = None
    """The age at which its metadata is refused. Required with verify = "signature", which never expires."""

    def path_for(self, architecture: Architecture) -> str:
        return _filled(self.path, architecture)

    def metalink_for(self, architecture: Architecture) -> str | None:
        return _filled(self.metalink, architecture) if self.metalink else None


class PublishedArchive(Archive):
    """An archive and where its project publishes it."""

    urls: Items[Url] = ()
    """Base URLs as the project publishes them, tried in order when no mirror is configured on the machine."""


class _UpstreamFile(Model):
    keyring: RelativePath
    """ASCII-armoured OpenPGP certificates, relative to upstreams/: the only ones whose signatures count."""
    architectures: Annotated[Items[LaxArchitecture], Field(min_length=1)]
    ecosystem: Line | None = None
    """What OSV calls the distribution, by which feeds of vulnerabilities name it: "Debian:13", "Azure Linux:3"."""


class DebUpstreamFile(_UpstreamFile):
    """`upstreams/*.toml` with family = "deb": suites of Debian archives."""

    family: Literal["deb"]
    suites: Annotated[Items[Suite], Field(min_length=1)]
    archives: Mapping[Identifier, Archive] = {}


class RpmUpstreamFile(_UpstreamFile):
    """`upstreams/*.toml` with family = "rpm": repositories of RPM packages."""

    family: Literal["rpm"]
    repositories: Annotated[Items[Repository], Field(min_length=1)]
    source_repositories: Items[Repository] = ()
    """Repositories of source packages, for components. Those that are among the others are found without."""
    build_packages: Items[PackageName] = ("rpm-build",)
    """What every component is built with besides what its spec says: rpmbuild, the macros of the distribution, and
    bash, coreutils and util-linux, by which a build is started."""
    archives: Mapping[Identifier, PublishedArchive] = {}


UPSTREAM_FILES: Mapping[str, type[DebUpstreamFile | RpmUpstreamFile]] = {
    "deb": DebUpstreamFile,
    "rpm": RpmUpstreamFile,
}


class _Loaded(_UpstreamFile):
    name: Identifier
    keyring_file: Path
    """Where the keyring is on this machine."""

    def check_architectures(self, wanted: Iterable[str]) -> None:
        """Raise DefinitionError for an architecture that the upstream is not for."""
        for architecture in wanted:
            if architecture not in self.architectures:
                raise DefinitionError(
                    f"the upstream '{self.name}' is not for the architecture '{architecture}'",
                    where=f"upstreams/{self.name}.toml: architectures",
                    resolution=f"it has {', '.join(self.architectures)}",
                )


class DebUpstream(DebUpstreamFile, _Loaded):
    """A loaded upstream of Debian archives."""

    @property
    def used_archives(self) -> tuple[str, ...]:
        """Names of the archives that its packages come from."""
        return tuple(dict.fromkeys(suite.archive for suite in self.suites))

    @property
    def published(self) -> Mapping[str, tuple[str, ...]]:
        """URLs of archives by name: none, as Debian archives are had from mirrors."""
        return {}


class RpmUpstream(RpmUpstreamFile, _Loaded):
    """A loaded upstream of RPM repositories."""

    @property
    def used_archives(self) -> tuple[str, ...]:
        """Names of the archives that its packages come from."""
        return tuple(dict.fromkeys(one.archive for one in (*self.repositories, *self.source_repositories)))

    @property
    def published(self) -> Mapping[str, tuple[str, ...]]:
        """URLs of archives by name, as the project publishes them."""
        return {name: archive.urls for name, archive in self.archives.items() if archive.urls}


Upstream: TypeAlias = DebUpstream | RpmUpstream


def rpm_architecture(architecture: Architecture) -> str:
    """RPM's word for an architecture ("x86_64")."""
    return _RPM_ARCHITECTURES[architecture]


def _filled(text: str, architecture: Architecture) -> str:
    return text.replace("{basearch}", rpm_architecture(architecture)).replace("{arch}", str(architecture))
