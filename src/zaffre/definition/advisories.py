# SPDX-License-Identifier: Apache-2.0
"""The model of `[advisories]`: what besides the archive says which vulnerabilities are known."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from zaffre.definition.image import Items
from zaffre.definition.values import Identifier, Line, Model, RelativePath, Url

_MOST_DAYS = 36500
"""A bound of ages, which keeps them within what a calendar has."""


class FeedKind(StrEnum):
    """Formats of feeds that are read."""

    OSV = "osv"
    OVAL = "oval"
    OPENVEX = "openvex"
    CSAF = "csaf"
    KEV = "kev"


class FeedSource(Model):
    """One feed: a file of the distribution, or what is at an address."""

    kind: Annotated[FeedKind, Field(strict=False)]
    """Its format: "osv" (JSON, or a zip of it), "oval", "openvex", "csaf", or "kev" (CISA's catalogue)."""
    file: RelativePath | None = None
    """Where it lies, relative to the distribution."""
    url: Url | None = None
    """Where it is fetched from. Without a keyring it must be reached by TLS all the way."""
    keyring: RelativePath | None = None
    """OpenPGP certificates, relative to the distribution: the feed must have a signature of one of them, in a file of
    its name and ".asc"."""
    upstream: Identifier | None = None
    """The upstream whose packages it speaks of, for formats that do not say it. The default upstream, if nothing is
    said."""
    max_age_days: Annotated[int, Field(ge=1, le=_MOST_DAYS)] = 7
    """The age at which it is refused."""

    @model_validator(mode="after")
    def _one_place(self) -> FeedSource:
        if (self.file is None) == (self.url is None):
            message = "a feed has a file or a url, and not both"
            raise ValueError(message)
        return self

    @property
    def place(self) -> Line:
        return self.file or self.url or ""


class Advisories(Model):
    """Where it is known from what is vulnerable."""

    max_age_days: Annotated[int, Field(ge=1, le=_MOST_DAYS)] = 7
    """The age at which the archive's own changelogs are refused: days since the oldest Release of its pockets,
    such as trixie-security."""
    candidates: Identifier | None = None
    """An upstream with newer packages of the same distribution, such as Debian's unstable. What its changelogs mend,
    and nothing else speaks of, is being looked at: whether the older packages have it is not known."""
    feeds: Items[FeedSource] = ()
    """What else is read, besides the archive."""
