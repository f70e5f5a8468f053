# SPDX-License-Identifier: Apache-2.0
"""The name of an image in a registry: REGISTRY/NAME[:TAG]. Pure.

Source of the form: the OCI distribution specification 1.1 (names and tags), and what distribution/reference calls a
domain. A registry is always named: none is the default.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from zaffre.errors import DefinitionError

_DOMAIN = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:]+\])(?::[0-9]{1,5})?"
)
_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_MOST = 255
_FORM = 'write REGISTRY/NAME[:TAG], such as "registry.example/team/base:1"'


@dataclass(frozen=True)
class Reference:
    """`registry` is a host with its port, if that is said."""

    registry: str
    name: str
    tag: str

    def __str__(self) -> str:
        return f"{self.registry}/{self.name}:{self.tag}"


def parse_reference(text: str, *, tag: str) -> Reference:
    """What was typed, with `tag` where it says none. Raises DefinitionError."""
    if "://" in text:
        raise DefinitionError(f"{text!r} is a URL", where=text, resolution=_FORM)
    if "@" in text:
        raise DefinitionError(
            "a digest is not chosen but found, and a user name is not written here",
            where=text,
            resolution=f"{_FORM}; log in with `podman login` or `docker login`",
        )
    registry, slash, rest = text.partition("/")
    name, colon, said = rest.partition(":")
    found = Reference(registry, name, said if colon else tag)
    if not slash or not _DOMAIN.fullmatch(registry) or not ({".", ":"} & set(registry) or registry == "localhost"):
        raise DefinitionError(f"{registry!r} is not the host of a registry", where=text, resolution=_FORM)
    if not _NAME.fullmatch(name) or len(f"{registry}/{name}") > _MOST:
        raise DefinitionError(
            f"{name!r} is not the name of an image: lower-case letters, digits and '.', '_', '-', '/'",
            where=text,
            resolution=_FORM,
        )
    if not _TAG.fullmatch(found.tag):
        raise DefinitionError(f"{found.tag!r} is not a tag", where=text, resolution=_FORM)
    return found
