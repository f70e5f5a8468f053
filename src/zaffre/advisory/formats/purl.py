# SPDX-License-Identifier: Apache-2.0
"""What a package URL names (https://github.com/package-url/purl-spec): the package and its version."""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from zaffre.advisory.formats.document import plain

_KINDS = {"deb", "rpm"}


def kind_of(purl: str) -> str:
    """The type of a purl ("deb"), which may be written in capitals; "" for what is no purl."""
    scheme, _, rest = purl.partition(":")
    return rest.lstrip("/").partition("/")[0].lower() if scheme.lower() == "pkg" else ""


def qualifiers_of(query: str) -> dict[str, str]:
    """The qualifiers of a purl: percent-encoded, and a plus sign stands for itself (purl-spec)."""
    pairs = (one.partition("=") for one in query.split("&"))
    return {key.lower(): unquote(value) for key, _, value in pairs if value}


class Named(NamedTuple):
    """A package by its vendor ("debian", "azurelinux"; "": anybody), its name and its version (None: any); and of which
    architecture ("source" and "src": the source) and release ("debian-12", "bookworm") it is, if that is said.
    """

    vendor: str
    name: str
    version: str | None
    architecture: str | None = None
    distro: str | None = None


def named(purl: str) -> Named | None:
    """What a purl of a Debian or RPM package names; None for one of another kind, or what is no purl at all."""
    if kind_of(purl) not in _KINDS:
        return None
    path, _, query = purl.partition(":")[2].partition("#")[0].partition("?")
    rest = path.lstrip("/").partition("/")[2]
    stem, _, version = rest.partition("@")
    vendor, _, name = unquote(stem).rpartition("/")
    qualifiers = {key: plain(value) for key, value in qualifiers_of(query).items()}
    epoch, said = qualifiers.get("epoch", "0"), plain(unquote(version))
    if said and epoch != "0" and ":" not in said:
        said = f"{epoch}:{said}"
    if not name:
        return None
    return Named(plain(vendor), plain(name), said or None, qualifiers.get("arch"), qualifiers.get("distro"))
