# SPDX-License-Identifier: Apache-2.0
"""Packages of a lock, of all its images or of one."""

from __future__ import annotations

from collections.abc import Iterable

from zaffre.advisory.subject import Installed, Subject, SubjectKind, require_packages
from zaffre.advisory.subjects.platforms import platform_of
from zaffre.advisory.versions import source_version, with_epoch
from zaffre.definition import TOOLS, Distribution
from zaffre.errors import DefinitionError
from zaffre.upstream.lock import BUILD_PREFIX, CROSS_PREFIX, Lock, LockedPackage, LockedSet


def lock_subjects(
    lock: Lock, distribution: Distribution, *, title: str, image: str | None = None, architecture: str | None = None
) -> tuple[Subject, ...]:
    """One subject for each upstream and architecture. Tools, and what components are built with, are in no image.

    Raises DefinitionError for an image that the lock has not, FindingError for a lock without packages.
    """
    sets = [
        one
        for one in lock.sets
        if one.name != TOOLS and not one.name.startswith((BUILD_PREFIX, CROSS_PREFIX))
        if (image is None or one.name == image) and (architecture is None or one.architecture == architecture)
    ]
    if not sets:
        raise DefinitionError(
            f"the lock has no packages of '{image or architecture or 'any image'}'",
            where=title,
            details="it has " + ", ".join(f"{one.name} ({one.architecture})" for one in lock.sets),
            resolution="name one of these with --image and --arch, or run `zaffre lock`",
        )
    groups: dict[tuple[str, str], list[LockedSet]] = {}
    for one in sets:
        groups.setdefault((one.upstream, one.architecture), []).append(one)
    whole = image is None and architecture is None
    return tuple(
        _subject(group, distribution, title, whole=whole) for _, group in sorted(groups.items(), key=lambda one: one[0])
    )


def _subject(sets: list[LockedSet], distribution: Distribution, title: str, *, whole: bool) -> Subject:
    upstream = distribution.upstreams.get(sets[0].upstream)
    if upstream is None:
        raise DefinitionError(
            f"the definition has no upstream '{sets[0].upstream}', from which the lock has packages",
            where=title,
            resolution="scan it with the definition that it was made from (--distro DIR)",
        )
    images = tuple(sorted({one.name for one in sets}))
    return Subject(
        kind=SubjectKind.LOCK if whole or len(images) > 1 else SubjectKind.IMAGE,
        title=title,
        platform=platform_of(upstream),
        architecture=sets[0].architecture,
        packages=require_packages(tuple(_merged(sets, upstream.family)), title),
        images=images,
        whole=whole,
    )


def _merged(sets: Iterable[LockedSet], family: str) -> Iterable[Installed]:
    """Each package once, with all images that have it at that version."""
    found: dict[str, tuple[LockedPackage, list[str]]] = {}
    for one in sets:
        for package in one.packages:
            found.setdefault(package.sha256, (package, []))[1].append(one.name)
    return (installed(package, family, tuple(images)) for package, images in found.values())


def installed(package: LockedPackage, family: str, images: tuple[str, ...] = ()) -> Installed:
    """A locked package, as what is scanned."""
    made = package.source_version
    return Installed(
        name=package.name,
        version=package.version,
        architecture=package.architecture,
        source=package.source,
        source_version=source_version(family, made) if family == "deb" else with_epoch(made, package.version),
        within=images,
        file=f"{package.archive}: {package.path}",
    )
