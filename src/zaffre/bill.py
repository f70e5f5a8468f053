# SPDX-License-Identifier: Apache-2.0
"""The bill of materials of a build: what it is made of, as plain values. Filled by `image`, written by `trust`.

It comes from what the build itself was made of, never from a look at the result. The same lock and definition give
equal bills: nothing in one is of the moment or the machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

CYCLONEDX_NAME = "sbom.cdx.json"
SPDX_NAME = "sbom.spdx.json"
PROVENANCE_NAME = "provenance.intoto.json"


@dataclass(frozen=True, slots=True)
class PurlForm:
    """How package URLs of one kind of packages are written (the types of the purl specification).

    `source` is the architecture of a source package; `architectures` are pairs of our word and theirs, where those
    differ. `epoch_apart`: the epoch is a qualifier, and no part of the version.
    """

    type: str
    source: str
    architectures: tuple[tuple[str, str], ...] = ()
    lower_case: bool = False
    epoch_apart: bool = False


DEB_PURLS = PurlForm(type="deb", source="source", lower_case=True)
RPM_PURLS = PurlForm(
    type="rpm",
    source="src",
    architectures=(("amd64", "x86_64"), ("arm64", "aarch64"), ("all", "noarch")),
    epoch_apart=True,
)


class Origin(StrEnum):
    """Where a file of an image comes from, that no package has."""

    DEFINITION = "definition"
    GENERATED = "generated"


@dataclass(frozen=True, slots=True)
class BillLicence:
    """`expression` is in SPDX's language (annex D), with a LicenseRef-… for what has no name there; None where the
    package does not say it in a form that can be read by a machine. `references` tell what each LicenseRef is called
    in the package.
    """

    expression: str | None = None
    references: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class BillPackage:
    """A package of an upstream, or one built here (`built`). `sha256` and `size` are of its .deb or .rpm.

    `installed` is false for one that only files were taken from.
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    sha256: str
    size: int
    archive: str
    suite: str
    built: bool
    licence: BillLicence
    installed: bool = True


@dataclass(frozen=True, slots=True)
class BillFile:
    """A regular file of the image. `package` has name and architecture; None where no package has it, and `origin`
    then says who made it. `tree` is the tree of the definition that it was laid from.
    """

    path: str
    sha256: str
    sha1: str
    size: int
    package: tuple[str, str] | None
    origin: Origin | None = None
    tree: str | None = None


@dataclass(frozen=True, slots=True)
class BillSuite:
    """An archive's state: the digest of the signed text, and the time that it states (ISO 8601, UTC)."""

    archive: str
    suite: str
    release_sha256: str
    date: str
    valid_until: str | None = None


@dataclass(frozen=True, slots=True)
class BillArtifact:
    """A file that the build gives, by its path in the build's folder."""

    name: str
    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class BillSystem:
    """An operating system as its os-release names it: `id` and `version` are what scanners go by."""

    id: str
    version: str
    name: str


@dataclass(frozen=True, slots=True)
class Bill:
    """`system` is the upstream from which the packages are; `distribution` is what was made of them.

    `epoch` is the lock's time, in seconds. `definition`, `lock` and `tools` are digests.
    """

    image: str
    kind: str
    version: str
    architecture: str
    profile: str
    epoch: int
    purls: PurlForm
    distribution: BillSystem
    system: BillSystem
    upstream: str
    definition: str
    lock: str
    tools: str
    packages: tuple[BillPackage, ...]
    suites: tuple[BillSuite, ...]
    files: tuple[BillFile, ...] = ()
    artifacts: tuple[BillArtifact, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.distribution.id}-{self.image}"
