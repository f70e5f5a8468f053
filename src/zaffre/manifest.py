# SPDX-License-Identifier: Apache-2.0
"""`manifest.json`: what a build says of itself. Written by `image`, held against the files by `trust`.

The format is a contract between both, so it belongs to neither. `format` rises when a reader of the
old form could be misled.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

MANIFEST_NAME = "manifest.json"
SIGNATURE_NAME = "manifest.json.sig"
SUMS_NAME = "SHA256SUMS"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Artifact(_Model):
    """A file of the build: its SHA-256 and its size in bytes (apparent size for sparse files). `form` is the name of
    the form that it has the image in, if the definition has one for it.
    """

    sha256: str
    size: int
    form: str | None = None


class Step(_Model):
    """One step of the build: wall and CPU time in seconds (children included), bytes of its outputs."""

    name: str
    wall_seconds: float
    cpu_seconds: float
    bytes: int
    cached: bool
    reason: str


class PackageFact(_Model):
    """A package. `archive` and `suite` say where it was locked from; older builds don't."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    sha256: str
    archive: str | None = None
    suite: str | None = None


class Report(_Model):
    """What the run that made the build did. Times differ between equal builds, so only the artifacts are compared.

    `key` is the digest of all that was built from; `peak_memory_bytes` is that of the largest process.
    """

    key: str
    steps: list[Step]
    wall_seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


class Customised(_Model):
    """That an image was made from another one: SHA-256 of that image, and of the changes with all their files."""

    image: str
    changes: str


class Manifest(_Model):
    """Everything a reader needs to hold a build against its promises."""

    format: Literal[1] = 1
    image: str
    kind: str
    version: str
    architecture: str
    profile: str
    debug: bool
    definition: str = Field(description="SHA-256 of the normalised definition, its files included")
    lock: str = Field(description="SHA-256 of the locked set")
    tools: str = Field(description="key of the tools tree")
    epoch: int = Field(description="SOURCE_DATE_EPOCH of the build, seconds")
    root_hash: str | None = Field(default=None, description="dm-verity root hash, hexadecimal")
    artifacts: dict[str, Artifact]
    packages: list[PackageFact]
    customised: Customised | None = Field(default=None, description="of an image that was changed after its build")
    build: Report


class FormManifest(_Model):
    """What a file says of itself that `zaffre convert` made: `<file>.json`, signed in `<file>.json.sig`.

    `made_from` is the digest of the raw disk, or of the archive of a tree, that is in it; `epoch` the time that it says
    it was made at. The rest is of the build that it was made from, and is not there for a file that no build of the
    owner's vouches for.
    """

    format: Literal[1] = 1
    form: str
    file: str
    size: int
    sha256: str
    made_from: str
    epoch: int
    image: str | None = None
    kind: str | None = None
    version: str | None = None
    architecture: str | None = None
    profile: str | None = None
    definition: str | None = None
    lock: str | None = None
