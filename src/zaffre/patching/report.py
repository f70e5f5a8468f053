# SPDX-License-Identifier: Apache-2.0
"""What a patch did, as `zaffre patch --json` prints it."""

from __future__ import annotations

import datetime as dt
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from zaffre.advisory.patch import Plan, Proof


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageReport(_Model):
    """One stage, with its wall time in seconds."""

    stage: str
    seconds: float


class Changed(_Model):
    """A package of an image that the new lock has at another version; None: it is new there, or gone."""

    image: str
    architecture: str
    package: str
    old: str | None
    new: str | None
    wanted: bool = Field(description="it is of a source that is behind, and did not merely come with one")


class ImageReport(_Model):
    """An image that was built. `held` and `failed` count lines of its check, None where none was made; `remark` says
    why, or what a release is in want of.
    """

    image: str
    architecture: str
    version: str
    folder: str
    held: int | None = None
    failed: tuple[str, ...] = ()
    proof: Proof | None = None
    release: str | None = None
    remark: str | None = None


class PatchReport(_Model):
    """`lock` is the version of the lock that was made, `kept` where it lies while the distribution's own is the old.

    `needless` are statements that nothing needs any more; `elsewhere` what has changed and is not built here.
    `broken` says in words what stopped it: nothing is released then.
    """

    format: Literal[1] = 1
    at: dt.datetime
    old_lock: str
    plan: Plan
    lock: str | None = None
    written: bool = False
    kept: str | None = None
    changes: tuple[Changed, ...] = ()
    proof: Proof | None = Field(default=None, description="of the lock")
    needless: tuple[str, ...] = ()
    images: tuple[ImageReport, ...] = ()
    elsewhere: tuple[str, ...] = ()
    advisory: tuple[str, ...] = Field(default=(), description="paths of the signed advisory's files")
    published: tuple[str, ...] = Field(default=(), description="what was published, in words")
    stages: tuple[StageReport, ...] = ()
    broken: str | None = None

    @property
    def seconds(self) -> float:
        return sum(one.seconds for one in self.stages)

    @property
    def done(self) -> bool:
        """Whether all that has a fix is mended as far as was asked."""
        return self.broken is None and not (self.proof and self.proof.left)
