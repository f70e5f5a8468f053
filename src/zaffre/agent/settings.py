# SPDX-License-Identifier: Apache-2.0
"""The owner's word for a node: `/etc/zaffre/agent.toml`, or what the image has in `/usr/lib/zaffre/agent.toml`."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError

from zaffre.errors import DefinitionError
from zaffre.follow.layout import require_channel
from zaffre.offer import Policy, Window
from zaffre.offer.record import Name

PLACES: Final = (Path("/etc/zaffre/agent.toml"), Path("/usr/lib/zaffre/agent.toml"))
"""The first that is there counts, as a whole."""
LEAST: Final = 64_000
"""Bytes a second: with less, a release would take days."""
MOST: Final = 50
"""Extensions that a node follows."""
_EXAMPLE = 'a file with at least: place = "https://releases.example/acme" and channel = "stable"'


def _window(value: object) -> object:
    return Window.parse(value) if isinstance(value, str) else value


class Settings(BaseModel):
    """All that can be said. `rate` is in bytes a second, 0 without a limit; `ca` a file of certificates in PEM, in the
    place of the system's; without `window` the node restarts at any time, with `restart = false` never by itself.
    `extensions` are followed beside the host, and so is the one that brings the `agent`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, arbitrary_types_allowed=True)

    place: Annotated[str, StringConstraints(pattern=r"^(https?://[^\s/@]+(/\S*)?|/\S*)$", max_length=1000)]
    channel: str
    window: Annotated[Window | None, BeforeValidator(_window)] = None
    hold: bool = False
    restart: bool = True
    rate: Literal[0] | Annotated[int, Field(ge=LEAST)] = 0
    ca: Annotated[str, StringConstraints(pattern="^/")] | None = None
    extensions: Annotated[tuple[Name, ...], Field(strict=False, max_length=MOST)] = ()
    agent: Name = "agent"

    @property
    def policy(self) -> Policy:
        return Policy(window=self.window, held=self.hold)


def read_settings(places: Iterable[Path] = PLACES) -> Settings:
    """Raises DefinitionError for a file that says what nobody knows, and when there is none."""
    candidates = tuple(places)
    for path in candidates:
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            raise DefinitionError("the settings cannot be read", where=str(path), details=str(error)) from error
        return _parsed(text, path)
    raise DefinitionError(
        "this node follows nothing: there are no settings",
        where=" and ".join(str(path) for path in candidates),
        resolution=f"write {_EXAMPLE}",
    )


def _parsed(text: str, path: Path) -> Settings:
    try:
        found = Settings.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError("the settings are not TOML", where=str(path), details=str(error)) from error
    except ValidationError as error:
        lines = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        raise DefinitionError(
            "the settings say what the agent does not understand",
            where=str(path),
            details="\n".join(lines),
            resolution=f"mend these keys; known are: {', '.join(Settings.model_fields)}",
        ) from error
    try:
        require_channel(found.channel)
    except DefinitionError as error:
        raise DefinitionError(error.brief, where=f"{path}: channel", resolution=error.resolution) from error
    return found
