# SPDX-License-Identifier: Apache-2.0
"""What a package URL names (https://github.com/package-url/purl-spec): the package and its version."""

from __future__ import annotations

from urllib.parse import parse_qs, unquote

_KINDS = {"deb", "rpm"}


def named(purl: str) -> tuple[str, str | None] | None:
    """Name and version (None: any) of a Debian or RPM package; None for a purl of another kind, or none at all."""
    if not purl.startswith("pkg:"):
        return None
    path, _, query = purl.removeprefix("pkg:").partition("#")[0].partition("?")
    kind, _, rest = path.partition("/")
    if kind not in _KINDS:
        return None
    stem, _, version = rest.partition("@")
    name = unquote(stem.rpartition("/")[2])
    epoch = parse_qs(query).get("epoch", ["0"])[0]
    plain = unquote(version)
    if plain and epoch != "0" and ":" not in plain:
        plain = f"{epoch}:{plain}"
    return (name, plain or None) if name else None
