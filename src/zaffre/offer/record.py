# SPDX-License-Identifier: Apache-2.0
"""The record of a release: the `custom` field of its target in a channel's TUF metadata.

A node decides from it alone, before it has fetched anything else. `format` rises when a reader of the old form could be
misled; a field that a reader does not know can be ignored. Canonical JSON, over which metadata are signed, has no
fractions: shares are millionths, times are UTC and whole seconds.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from zaffre.offer.turn import Schedule, position
from zaffre.offer.version import FORM

MILLION: Final = 1_000_000
MAX_NOTES: Final = 2000
MAX_REASON: Final = 500
"""Characters."""

Version = Annotated[str, StringConstraints(pattern=f"^{FORM}$")]
IMAGE_FORM: Final = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
"""A name of an image, as the definition has it, but no longer than 63 characters."""
Name = Annotated[str, StringConstraints(pattern=f"^{IMAGE_FORM}$")]
FileName = Annotated[str, StringConstraints(pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,126}$")]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
PoolPath = Annotated[str, StringConstraints(pattern=r"^pool/[0-9a-f]{64}/[0-9A-Za-z][0-9A-Za-z._-]{0,126}$")]
Share = Annotated[int, Field(ge=1, le=MILLION)]


def _whole_utc(value: datetime) -> datetime:
    if value.tzinfo is None or value.utcoffset() != timedelta(0) or value.microsecond:
        message = "a time must be in UTC and of whole seconds"
        raise ValueError(message)
    return value.astimezone(UTC)


Time = Annotated[datetime, AfterValidator(_whole_utc)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class Step(_Model):
    """`share` millionths of all nodes have had their turn `until` seconds after the rollout began."""

    share: Share
    until: Annotated[int, Field(ge=1)]


class Halt(_Model):
    """The owner halts the rollout when more than `unhealthy` millionths of at least `reports` nodes did not come up."""

    unhealthy: Share
    reports: Annotated[int, Field(ge=1)]


class Rollout(_Model):
    """The pace. `begin` is when it began; `stopped`, when it was paused, if it is; `lost`, seconds of earlier pauses.

    No turn comes while it is paused; afterwards it goes on where it was.
    """

    name: str = Field(max_length=63, description="of the schedule in the definition")
    begin: Time
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=100)]
    halt: Halt
    stopped: Time | None = None
    lost: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _rises_to_all(self) -> Self:
        rises = all(a.share < b.share and a.until < b.until for a, b in pairwise(self.steps))
        if not rises or self.steps[-1].share != MILLION:
            message = "the steps must rise to all nodes"
            raise ValueError(message)
        return self

    @property
    def schedule(self) -> Schedule:
        return Schedule.of((step.share / MILLION, float(step.until)) for step in self.steps)

    def elapsed(self, now: datetime) -> float:
        """Seconds that the rollout has gone on at `now`, pauses left out; negative before it began."""
        return ((min(now, self.stopped) if self.stopped else now) - self.begin).total_seconds() - self.lost

    def has_turn(self, node: str, version: str, now: datetime) -> bool:
        """Whether the turn of the node of that id has come for that version."""
        return self.schedule.turn(position(node, version)) <= self.elapsed(now)

    def turn_at(self, node: str, version: str, now: datetime) -> datetime:
        """When the turn comes of a node that has not had it; a moment from `now` at the least."""
        after = self.schedule.turn(position(node, version)) - self.elapsed(now)
        return now + timedelta(seconds=max(1.0, after))

    def paused(self, now: datetime) -> Self:
        """The same from now on without progress. Pausing twice changes nothing."""
        return self if self.stopped else self.model_copy(update={"stopped": now})

    def resumed(self, now: datetime) -> Self:
        if self.stopped is None:
            return self
        lost = self.lost + max(0, int((now - self.stopped).total_seconds()))
        return self.model_copy(update={"stopped": None, "lost": lost})


class Evidence(_Model):
    """That `zaffre check` has booted these very files, when, and how many lines held. `report` is the digest of its
    whole report, which is a file of the release.
    """

    report: Digest
    checked: Time
    held: Annotated[int, Field(ge=1)]
    machine: str = Field(max_length=200, description="what it was booted on")


class Revocation(_Model):
    """The release is not to be installed any more, and a node that runs it is to leave it for a newer one."""

    at: Time
    reason: str = Field(min_length=1, max_length=MAX_REASON)


class Record(_Model):
    """One version of one image for one architecture: of a host, or of an extension of one.

    A node that runs a version older than `floor` must not come to this one directly. `files` are the targets' paths by
    the names of the build; length and hash of each are in the metadata beside this.
    """

    format: Literal[1] = 1
    kind: Literal["host", "sysext", "confext"] = "host"
    image: Name
    architecture: Name
    version: Version
    created: Time
    profile: str = Field(max_length=63)
    root_hash: Digest | None = None
    floor: Version | None = None
    rollout: Rollout
    files: Annotated[dict[FileName, PoolPath], Field(min_length=1, max_length=100)]
    evidence: Evidence
    revoked: Revocation | None = None
    notes: str = Field(default="", max_length=MAX_NOTES)

    @model_validator(mode="after")
    def _files_have_their_names(self) -> Self:
        if any(path.rpartition("/")[2] != name for name, path in self.files.items()):
            message = "a file lies under another name than it has"
            raise ValueError(message)
        return self

    @property
    def product(self) -> str:
        """What one record follows another of: `<image>-<architecture>`."""
        return f"{self.image}-{self.architecture}"
