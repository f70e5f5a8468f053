# SPDX-License-Identifier: Apache-2.0
"""What is scanned: the packages of one distribution, wherever they were read from."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from zaffre.errors import FindingError


class SubjectKind(StrEnum):
    """Where packages were read from."""

    LOCK = "lock"
    IMAGE = "image"
    BUILD = "build"
    ROOT = "root"
    SBOM = "sbom"


@dataclass(frozen=True, slots=True)
class Installed:
    """A binary package with the source that it comes of. `within` are the images that have it."""

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    within: tuple[str, ...] = ()
    file: str | None = None
    """Its file in the archive, where it is known."""


@dataclass(frozen=True)
class Platform:
    """What distribution packages are of. `upstream` names one of the definition's, `ecosystem` is OSV's word for it."""

    family: str
    title: str
    upstream: str | None = None
    ecosystem: str | None = None

    @property
    def has_changelogs(self) -> bool:
        """Whether its packages tell in their changelogs which vulnerabilities a version mends."""
        return self.family == "deb"


def _no_files(_: Installed) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Subject:
    """`files` gives the paths that a package has, the telling ones first; `whole` says that it is all of a lock;
    `notes` say what of it is not scanned.
    """

    kind: SubjectKind
    title: str
    platform: Platform
    architecture: str
    packages: tuple[Installed, ...] = field(repr=False)
    images: tuple[str, ...] = ()
    whole: bool = False
    notes: tuple[str, ...] = ()
    files: Callable[[Installed], Sequence[str]] = field(default=_no_files, repr=False)


def require_packages(packages: Sequence[Installed], where: str) -> tuple[Installed, ...]:
    """The packages, if there are any: of nothing, nothing can be said. Raises FindingError."""
    if not packages:
        raise FindingError(
            "there is no package to be scanned",
            where=where,
            resolution="name a root with its package database, a build, an image or a lock: what has no packages can't "
            "be said to have no vulnerabilities",
        )
    return tuple(sorted(packages, key=lambda one: (one.name, one.architecture, one.version)))


def is_release(words: str, ecosystem: str) -> bool:
    """Whether a publisher's words for a platform ("Debian GNU/Linux 13 (trixie)", "Azure Linux") name the release that
    OSV's word does ("Debian:13"). Words without a release are about every release, and "" is nobody's.
    """
    name, _, asked = ecosystem.partition(":")
    if not name:
        return False
    pattern = rf"{re.escape(name)}(?: GNU/Linux| Linux)?(?:[ :](?P<release>[0-9]+(?:\.[0-9]+)*))?(?: \(\w+\))?"
    match = re.fullmatch(pattern, words.strip(), re.IGNORECASE)
    if match is None:
        return False
    said = match["release"]
    return not said or not asked or all(a == b for a, b in zip(said.split("."), asked.split("."), strict=False))


_TELLING = ("/bin/", "/sbin/", "/libexec/")
_MOST_FILES = 3


def telling(paths: Sequence[str]) -> tuple[str, ...]:
    """Up to three paths that show best what a package brings: programs, then libraries, then whatever comes first."""

    def rank(path: str) -> int:
        if any(folder in path for folder in _TELLING):
            return 0
        if "/lib" in path and (".so" in path or path.endswith(".ko") or "/boot/" in path):
            return 1
        return 3 if path.startswith("/usr/share/doc") else 2

    return tuple(sorted(paths, key=lambda path: (rank(path), len(path), path))[:_MOST_FILES])


def os_release(text: str) -> Mapping[str, str]:
    """The fields of os-release(5); of what has another form, nothing."""
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.startswith("#"))
    return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
