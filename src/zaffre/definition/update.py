# SPDX-License-Identifier: Apache-2.0
"""The model of `[update]`: how an immutable host is updated in place, and what it follows by itself."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema

from zaffre.definition.values import AbsolutePath, Identifier, Model, RelativePath
from zaffre.errors import DefinitionError
from zaffre.follow.layout import require_channel
from zaffre.offer.window import Window

LEAST_RATE = 64_000
"""Bytes a second: with less, a release would take days."""


def _place(value: str) -> str:
    if not re.fullmatch(r"https?://[A-Za-z0-9.:\[\]-]+(?:/[A-Za-z0-9._~%/+-]*)?", value):
        message = f'{value!r} is not the URL of a place of releases, such as "https://releases.example/acme"'
        raise ValueError(message)
    return value


def _channel(value: str) -> str:
    try:
        return require_channel(value)
    except DefinitionError as error:
        message = f"{error.brief}: {error.resolution}"
        raise ValueError(message) from error


def _window(value: str) -> str:
    Window.parse(value)
    return value


def _text(check: Callable[[str], str], what: str) -> tuple[AfterValidator, WithJsonSchema]:
    return AfterValidator(check), WithJsonSchema({"type": "string", "description": what})


_place_of = _text(_place, "the URL of a place of releases")
_channel_of = _text(_channel, "the name of a channel of releases")
_window_of = _text(_window, "hours of the day in UTC, such as 22:30-04:00")


class Update(Model):
    """How an immutable host is updated in place: in its second slot, of which a boot is on trial first; and what it
    follows by itself, if it does."""

    tries: Annotated[int, Field(ge=0, le=9)] = 0
    """How often a host starts a new version before the one before it is taken again. With 0 it judges no boot and is
    not updated in place; else it needs systemd-sysupdate and systemd-bless-boot."""
    every_boot: bool = False
    """Whether every boot is counted, and not those of a new version alone: then a version that was good, and of which a
    damaged root stops each boot, is left for the other one too. Each boot writes to the ESP twice."""
    place: Annotated[str, *_place_of] | None = None
    """Where the host reads releases by itself: the URL of what `zaffre release publish` fills. Without it, the host
    follows nothing, and somebody else brings what it is updated from."""
    channel: Annotated[str, *_channel_of] | None = None
    """The channel that it follows there."""
    trusted: RelativePath | None = None
    """The root of trust, a file of the definition: the root.json that `zaffre release init` wrote."""
    window: Annotated[str, *_window_of] | None = None
    """The hours of the day, in UTC, in which it restarts into a new version; at any time unless said."""
    restart: bool = True
    """Whether it restarts by itself once a new version is in its other slot."""
    rate: Annotated[int, Field(ge=LEAST_RATE)] | None = None
    """Bytes a second for downloads; as fast as it goes unless said."""
    certificates: AbsolutePath | None = None
    """A file of the image with certificates in PEM that the place is verified against, instead of the host's own."""
    extensions: Annotated[list[Identifier], Field(max_length=50)] = Field(default=[])
    """Images of the kinds sysext and confext that it follows beside itself, in the same channel."""
    agent: Identifier = "agent"
    """The sysext, one with `agent = true`, that carries the program which does all this. The disk image brings it,
    and it is followed in the channel if that has it."""
