# SPDX-License-Identifier: Apache-2.0
"""The model of `[repository]`: the signed apt repository that a distribution's own machines get packages from."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zaffre.definition.image import Items
from zaffre.definition.values import ChannelName, Identifier, Line, Model, PackageName, Url

OWN = "repository"
"""What it is called where archives, mirrors and sets of a lock are named, so that no archive and no image can be."""


class OwnRepository(Model):
    """Where machines reach the repository, and what its Releases say of themselves."""

    url: Url
    """Where machines reach it: the folder above dists/ and pool/."""
    origin: Line | None = None
    """Origin of its Releases, which machines pin by. The distribution's name, if nothing is said."""
    label: Line | None = None
    """Label of its Releases. The distribution's name, if nothing is said."""
    channels: Annotated[Items[ChannelName], Field(min_length=1)] = ("dev", "stable")
    """What machines can follow. `zaffre repo build` moves the first one, unless another is named."""
    valid_days: Annotated[int, Field(ge=1, le=365)] = 14
    """Days after which machines refuse a channel that was neither moved nor refreshed (Valid-Until)."""
    packages: Items[PackageName] = ()
    """Packages that are published with what they need, though no image has them. All of them must be installable
    together."""
    sources: bool = False
    """Whether it has the source packages too, of all that it gives on. They are larger than the packages."""
    upstream: Identifier | None = None
    """Where `packages` come from: a Debian archive. The default upstream, unless that is of another family."""
