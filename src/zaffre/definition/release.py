# SPDX-License-Identifier: Apache-2.0
"""The model of `[release]`: at what pace a fleet takes a release, and when it stops."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import Field, model_validator

from zaffre.definition.image import Items
from zaffre.definition.values import Duration, Identifier, Model, Percent

_WHOLE = 100.0


class WaveStep(Model):
    """One step of a schedule: nodes of this share begin, evenly spread, until this time."""

    share: Percent
    """Percent of all nodes that have begun by the end of the step, those of the steps before it included."""
    until: Duration
    """When the step ends, counted from the release: "90m", "36h", "7d"."""


class Halt(Model):
    """When a rollout stops by itself."""

    unhealthy: Percent = 5.0
    """Percent of the nodes that reported: when more of them did not come up healthy, no further node begins."""
    reports: Annotated[int, Field(ge=1)] = 20
    """How many nodes must have reported before their share means anything."""


class Waves(Model):
    """A schedule by which a fleet takes a release."""

    steps: Annotated[Items[WaveStep], Field(min_length=1)]
    halt: Halt = Halt()

    @model_validator(mode="after")
    def _rises_to_all(self) -> Self:
        """Every node is to have its turn, and none has it before one that was ahead of it."""
        for before, after in pairwise(self.steps):
            if after.share <= before.share or after.until <= before.until:
                message = "each step must have a greater share and end later than the one before it"
                raise ValueError(message)
        if self.steps[-1].share != _WHOLE:
            message = f"the last step must reach 100 percent, not {self.steps[-1].share:g}"
            raise ValueError(message)
        return self


class Release(Model):
    """How releases reach a fleet."""

    waves: dict[Identifier, Waves] = Field(default_factory=dict)
    """Schedules by name."""
    deltas: Annotated[int, Field(ge=0, le=20)] = 3
    """From how many versions before it in its channel a release offers deltas, which nodes of these versions fetch in
    the place of whole files. 0: from none."""
