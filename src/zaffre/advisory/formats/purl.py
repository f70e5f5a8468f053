# SPDX-License-Identifier: Apache-2.0
"""What a package URL names (https://github.com/package-url/purl-spec): the package and its version."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import parse_qs, unquote

_KINDS = {"deb", "rpm"}


class Named(NamedTuple):
    """A package by its vendor ("debian", "azurelinux"; "": anybody), its name and its version (None: any)."""

    vendor: str
    name: str
    version: str | None


def named(purl: str) -> Named | None:
    """What a purl of a Debian or RPM package names; None for one of another kind, or what is no purl at all."""
    if not purl.startswith("pkg:"):
        return None
    path, _, query = purl.removeprefix("pkg:").partition("#")[0].partition("?")
    kind, _, rest = path.partition("/")
    if kind not in _KINDS:
        return None
    stem, _, version = rest.partition("@")
    vendor, _, name = unquote(stem).rpartition("/")
    epoch = parse_qs(query).get("epoch", ["0"])[0]
    plain = unquote(version)
    if plain and epoch != "0" and ":" not in plain:
        plain = f"{epoch}:{plain}"
    return Named(vendor, name, plain or None) if name else None
