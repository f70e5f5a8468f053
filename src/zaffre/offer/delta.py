# SPDX-License-Identifier: Apache-2.0
"""What a delta is for: the `custom` field of its target in a channel's TUF metadata, and which one a node takes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from zaffre.offer.record import Digest, FileName, Version

SUFFIX: Final = ".vcdiff.xz"
"""How the name of a delta ends; it begins with that of the file that it makes."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class End(_Model):
    """A file of a release that a delta leads from, or to."""

    version: Version
    sha256: Digest
    length: Annotated[int, Field(ge=1)]


class Delta(_Model):
    """How `file` of one version is made of that of an older one. `delta` names the form; one that a reader does not
    know is no delta to it.
    """

    format: Literal[1] = 1
    delta: Literal["vcdiff+xz"] = "vcdiff+xz"
    file: FileName
    source: End
    target: End


def delta_of(custom: object) -> Delta | None:
    """The delta that a target's `custom` field describes; None for anything else."""
    try:
        return Delta.model_validate(custom)
    except ValidationError:
        return None


@dataclass(frozen=True)
class Listed:
    """A delta that a channel offers: its target's path, its bytes and their digest."""

    delta: Delta
    path: str
    length: int
    sha256: str


def smallest(deltas: Iterable[Listed], running: str, wanted: str, left: int) -> Listed | None:
    """The smallest delta that leads from a file of the version `running` to the one with the digest `wanted`, if it
    takes fewer bytes than the `left` ones that are still to come of the whole file.
    """
    fits = [
        one
        for one in deltas
        if one.delta.source.version == running and one.delta.target.sha256 == wanted and one.length < left
    ]
    return min(fits, key=lambda one: (one.length, one.path), default=None)
