# SPDX-License-Identifier: Apache-2.0
"""The model of an overlay: one documented deviation from an upstream, `components/NAME/overlays/NNNN-*.toml`.

An overlay says why it is there, what the upstream thinks of it, and when it has to be looked at again. All of
it is required: a deviation that nobody can explain is not loaded.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from zaffre.definition.image import Items
from zaffre.definition.operations import Brings, Operation
from zaffre.definition.values import Day, Line, Link, Model, Until

OVERLAYS = "overlays"


class Category(StrEnum):
    """What a deviation is for."""

    SECURITY = "security"
    BUG_FIX = "bug-fix"
    HARDENING = "hardening"
    COMPLIANCE = "compliance"
    COMPATIBILITY = "compatibility"
    PERFORMANCE = "performance"
    FEATURE = "feature"
    SIZE = "size"
    BUILD = "build"
    BRANDING = "branding"


class UpstreamStatus(StrEnum):
    """Where a deviation stands with the upstream. The words are those of Yocto's Upstream-Status, and DEP-3's meaning.

    pending: it is to be offered. submitted: it was. backport: the upstream has it in a later version. denied: the
    upstream does not want it. inactive: nobody is there to take it. inappropriate: it is for us alone.
    """

    PENDING = "pending"
    SUBMITTED = "submitted"
    BACKPORT = "backport"
    DENIED = "denied"
    INACTIVE = "inactive"
    INAPPROPRIATE = "inappropriate"


LaxCategory = Annotated[Category, Field(strict=False)]
LaxUpstreamStatus = Annotated[UpstreamStatus, Field(strict=False)]


class OverlayFile(Model):
    """`components/NAME/overlays/NNNN-*.toml`: one deviation, applied in the order of the numbers."""

    category: LaxCategory
    """What it is for."""
    reason: Line
    """Why it is needed, in a sentence. It is in the package's changelog."""
    upstream_status: LaxUpstreamStatus
    """Where it stands with the upstream."""
    links: Annotated[Items[Link], Field(min_length=1)]
    """Where to read more: an address, a known hole or bug (CVE-2026-1234, GHSA-…, DSA-5432-1, debian#1012345), or a
    file of the component."""
    since: Day
    """The day on which it was made."""
    until: Until
    """When it has to go or be looked at: a version of the upstream in quotes, or a date without."""
    operations: Annotated[Items[Operation], Field(min_length=1)]
    """What it does, in order. All of it or nothing."""

    @model_validator(mode="after")
    def _order(self) -> OverlayFile:
        if isinstance(self.until, dt.date) and self.until <= self.since:
            message = f"until ({self.until}) is not after since ({self.since})"
            raise ValueError(message)
        return self


class Overlay(OverlayFile):
    """A loaded overlay."""

    number: int
    file: str
    """Relative to the distribution."""

    def named_files(self) -> tuple[str, ...]:
        """Files of the component that its operations bring."""
        return tuple(operation.file for operation in self.operations if isinstance(operation, Brings))
