# SPDX-License-Identifier: Apache-2.0
"""Contradictions of how a host is updated, and of one that follows a channel of releases by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from zaffre.definition.image import Image
from zaffre.definition.merge import Origin, origin_of
from zaffre.definition.problems import Problem, near
from zaffre.definition.update import Update
from zaffre.definition.values import KeyPath, Kind
from zaffre.errors import IntegrityError

MAX_ROOT_BYTES = 1 << 20

_FOLLOWING = ("channel", "trusted", "window", "restart", "rate", "certificates", "extensions", "agent")
_NEEDED = ("channel", "trusted")


def check_update(image: Image, origins: Mapping[KeyPath, Origin], root: Path) -> Iterator[Problem]:
    """What a host that follows a channel lacks, and what one that follows none has no use for."""
    update = image.update
    if update.every_boot and not update.tries:
        yield _problem(origins, "every_boot", "is for a host that counts boots, and this one has no update.tries")
    if update.place is None:
        for key in _FOLLOWING:
            if getattr(update, key) != Update.model_fields[key].default:
                yield _problem(origins, key, "is for a host that follows a channel, and this one has no update.place")
        return
    for key in _NEEDED:
        if getattr(update, key) is None:
            yield _problem(origins, key, "is required with update.place")
    if not update.tries:
        yield _problem(origins, "tries", "must be at least 1 for a host that follows a channel")
    if update.trusted is not None:
        yield from _trust(update.trusted, origins, root)


def check_agent(image: Image, origins: Mapping[KeyPath, Origin], images: Mapping[str, Image]) -> Iterator[Problem]:
    """That there is a sysext with the agent for a host that needs one, and that what it follows are extensions."""
    name = image.update.agent
    if image.update.place is None:
        return
    known = {one.name for one in images.values() if one.kind in {Kind.SYSEXT, Kind.CONFEXT}} - {name}
    for extension in image.update.extensions:
        if extension == name:
            yield _problem(origins, "extensions", f"{extension!r} is the agent's own, which is followed in any case")
        elif extension not in known:
            message = "is no sysext and no confext" if extension in images else "is no image"
            yield _problem(origins, "extensions", f"{extension!r} {message}", near(extension, known))
    agents = {one.name for one in images.values() if one.kind is Kind.SYSEXT and one.agent}
    if name in agents:
        return
    message = "is no sysext with agent = true" if name in images else "is no image"
    suggestion = near(name, agents) or "copy images/agent.toml and files/agent of the reference distribution"
    yield _problem(origins, "agent", f"{name!r} {message}", suggestion)


def _trust(name: str, origins: Mapping[KeyPath, Origin], root: Path) -> Iterator[Problem]:
    from zaffre.follow.root import require_root  # noqa: PLC0415 - python-tuf, which takes a fifth of a second

    try:
        with (root / name).open("rb") as file:
            data = file.read(MAX_ROOT_BYTES + 1)
    except OSError as error:
        words = "it is the root.json that 'zaffre release init' wrote"
        yield _problem(origins, "trusted", f"cannot read {name!r}: {error.strerror}", words)
        return
    if len(data) > MAX_ROOT_BYTES:
        yield _problem(origins, "trusted", f"{name!r} has more than {MAX_ROOT_BYTES} bytes, and is no root of trust")
        return
    try:
        require_root(data)
    except IntegrityError as error:
        details = f": {error.details}" if error.details else ""
        yield _problem(origins, "trusted", f"{name!r} is {error.brief}{details}", error.resolution)


def _problem(origins: Mapping[KeyPath, Origin], key: str, message: str, suggestion: str | None = None) -> Problem:
    origin = origin_of(origins, ("update", key))
    return Problem(origin.file, origin.key, message, suggestion)
