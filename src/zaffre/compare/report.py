# SPDX-License-Identifier: Apache-2.0
"""The report of `zaffre diff`, as `--json` prints it. Sizes are bytes; what only one side has is null on the other."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SideKind(StrEnum):
    """What a side is. A lock has packages and ids alone; so has an image, which is its set in the lock now."""

    LOCK = "lock"
    IMAGE = "image"
    BUILD = "build"


class ChangeKind(StrEnum):
    """`rebuilt`: a package of the same version is another file."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    REBUILT = "rebuilt"


class Side(_Model):
    """`given` is what was typed, `title` what was found there."""

    kind: SideKind
    given: str
    title: str


class PackageChange(_Model):
    """`origin` is "archive suite" of the side that has it, B's if both; of what is built here "components"."""

    name: str
    architecture: str
    change: ChangeKind
    old_version: str | None
    new_version: str | None
    old_bytes: int | None
    new_bytes: int | None
    source: str
    old_origin: str | None
    origin: str | None
    why: tuple[str, ...] = ()


class ValueChange(_Model):
    """A setting, unit or account by name, before and after. `why` says where it comes from, if that is known."""

    name: str
    old: str | None
    new: str | None
    why: str | None = None


class ArtifactChange(_Model):
    """A file of a build: apparent size and SHA-256."""

    name: str
    old_bytes: int | None
    new_bytes: int | None
    old_sha256: str | None
    new_sha256: str | None


class SetChanges(_Model):
    """The packages of one image on one architecture. `measure` says what the bytes are: to download, or in the image.

    `missing` names the side that has no such set at all.
    """

    name: str
    architecture: str
    missing: Literal["A", "B"] | None = None
    old_packages: int
    new_packages: int
    measure: Literal["download", "image"] | None
    old_bytes: int | None
    new_bytes: int | None
    packages: tuple[PackageChange, ...]
    accounts: tuple[ValueChange, ...]

    def __bool__(self) -> bool:
        return bool(self.packages or self.accounts or self.missing)


class FileChange(_Model):
    """`how` says what changed of a path that both have. `origin`: its package, or the definition's tree."""

    path: str
    change: ChangeKind
    old_bytes: int
    new_bytes: int
    how: tuple[str, ...] = ()
    origin: str

    @property
    def growth(self) -> int:
        return self.new_bytes - self.old_bytes


class Group(_Model):
    """Changes of files that belong together, and by how many bytes they grew."""

    name: str
    added: int
    removed: int
    changed: int
    growth: int


class Details(_Model):
    """What only two builds can tell. A kernel's version in a path reads as `<kernel>`."""

    files: tuple[FileChange, ...]
    by_origin: tuple[Group, ...]
    by_folder: tuple[Group, ...]
    privileged: tuple[ValueChange, ...]
    listening: tuple[ValueChange, ...]
    units: tuple[ValueChange, ...]
    sysctl: tuple[ValueChange, ...]
    command_line: tuple[ValueChange, ...]
    kernels: tuple[ValueChange, ...]
    modules: tuple[ValueChange, ...]

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in type(self).model_fields)


class Alert(_Model):
    """A change that gives somebody rights or lets somebody in, to be looked at before all else."""

    what: Literal["privileged", "listening", "account", "debug"]
    text: str


class Comparison(_Model):
    """`details` is null where a side has packages alone; `left_out` then says why. `artifacts` are those of builds."""

    format: Literal[1] = 1
    a: Side
    b: Side
    left_out: str | None
    alerts: tuple[Alert, ...]
    sets: tuple[SetChanges, ...]
    settings: tuple[ValueChange, ...] = Field(description="what the definition says, of two images of it")
    details: Details | None
    artifacts: tuple[ArtifactChange, ...]

    @computed_field  # type: ignore[prop-decorator]  # pydantic's documented form
    @property
    def same(self) -> bool:
        return not (any(self.sets) or self.settings or self.details or self.artifacts)
