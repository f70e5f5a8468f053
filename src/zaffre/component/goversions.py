# SPDX-License-Identifier: Apache-2.0
"""Which version of a Go module an update may take. Pure: from the versions that there are, and from texts of go.mod.

Source: the Go modules reference ("Versions", "go directive", "retract directive"). A proxy lists pre-releases too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from zaffre.upstream.lock import LockedSet

_VERSION = re.compile(
    r"v(?P<major>0|[1-9]\d*)\.(?P<minor>0|[1-9]\d*)\.(?P<patch>0|[1-9]\d*)"
    r"(?P<before>-[0-9A-Za-z.-]+)?(?P<old>\+incompatible)?",
    re.ASCII,
)
_GO = re.compile(r"^go[ \t]+(\d+(?:\.\d+)*)", re.MULTILINE | re.ASCII)
_COMMENT = re.compile(r"//.*")
_RETRACT = re.compile(r"^retract[ \t]*(?:\((?P<block>[^)]*)\)|(?P<one>[^\n(]+))", re.MULTILINE)
_RANGE = re.compile(r"\[\s*(?P<low>v[^\s,\]]+)\s*,\s*(?P<high>v[^\s,\]]+)\s*\]|(?P<only>v[^\s,\]]+)")
_TOOLCHAIN = re.compile(r"golang-\d+\.\d+-go")

Key = tuple[int, int, int, bool]


def newer_releases(current: str, versions: Iterable[str]) -> tuple[str, ...]:
    """Those that come after `current`, the newest first. Pre-releases and pseudo-versions are no releases; versions
    from before modules ("+incompatible") are offered only to one that is such a version itself."""
    here = _VERSION.fullmatch(current)
    if here is None:
        raise ValueError(f"{current!r} is not the version of a Go module")
    found = {
        version
        for version in versions
        if (match := _VERSION.fullmatch(version))
        and not match["before"]
        and match["old"] == here["old"]
        and order(version) > order(current)
    }
    return tuple(sorted(found, key=order, reverse=True))


def order(version: str) -> Key:
    """By which versions are compared, but for pre-releases of the same version. ValueError for what is none."""
    match = _VERSION.fullmatch(version)
    if match is None:
        raise ValueError(f"{version!r} is not the version of a Go module")
    return int(match["major"]), int(match["minor"]), int(match["patch"]), not match["before"]


def minor_of(version: str) -> tuple[int, int]:
    """Versions of the same major and minor number are told apart by what is mended."""
    return order(version)[:2]


def retracted(mod: str, version: str) -> bool:
    """Whether the go.mod of a module's newest version takes `version` back."""
    for match in _RETRACT.finditer(_COMMENT.sub("", mod)):
        for found in _RANGE.finditer(match["block"] or match["one"] or ""):
            low, high = found["low"] or found["only"], found["high"] or found["only"]
            if _is_version(low) and _is_version(high) and order(low) <= order(version) <= order(high):
                return True
    return False


def _is_version(text: str) -> bool:
    return _VERSION.fullmatch(text) is not None


def wanted_go(mod: str) -> str | None:
    """The Go that a go.mod asks for, at least; None if it does not say."""
    match = _GO.search(mod)
    return match[1] if match else None


def toolchain_of(installed: LockedSet) -> str | None:
    """The version of Go that a component is built with, as its packages say."""
    found = [
        match[0]
        for one in installed.packages
        if _TOOLCHAIN.fullmatch(one.name) and (match := re.match(r"[\d.]+", one.version.rpartition(":")[2]))
    ]
    return max(found, key=_numbers, default=None)


def too_old(toolchain: str, wanted: str) -> bool:
    """Whether a Go is older than the one that is asked for."""
    return _numbers(toolchain) < _numbers(wanted)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)
