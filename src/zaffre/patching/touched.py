# SPDX-License-Identifier: Apache-2.0
"""What a new lock changes, and which images have to be made again for it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from zaffre.advisory.patch import Behind
from zaffre.definition import Distribution
from zaffre.patching.report import Changed
from zaffre.upstream.diff import LockDiff


def with_dependants(distribution: Distribution, images: Sequence[str]) -> list[str]:
    """Images with what they extend, and with what extends them: these are locked at the same versions."""
    named = [distribution.image(name) for name in images]
    bases = {image.base or image.name for image in named}
    return sorted(
        {image.name for image in distribution.images.values() if image.name in bases or image.base in bases}
        | {image.name for image in named}
    )


def changes(distribution: Distribution, diff: LockDiff, behind: Iterable[Behind]) -> tuple[Changed, ...]:
    """Packages of images that move."""
    names = {name for one in behind for name in one.packages}
    # By the sources that the lock names: of a signed kernel, not the one that vulnerabilities are known of.
    wanted = {each.old.source for one in diff.sets for each in one.changes if each.old and each.name in names}
    found = []
    for one in diff.sets:
        if one.name not in distribution.images:
            continue
        for change in one.changes:
            package = change.new or change.old
            source = package.source if package else ""
            found.append(
                Changed(
                    image=one.name,
                    architecture=one.architecture,
                    package=change.name,
                    old=change.old.version if change.old else None,
                    new=change.new.version if change.new else None,
                    wanted=source in wanted,
                )
            )
    return tuple(found)


def touched(
    distribution: Distribution, moved: Sequence[Changed], architecture: str, *, images: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Images to be made again for an architecture, bases first; and what else has changed, in words."""
    pairs = {(one.image, one.architecture) for one in moved}
    extending = {
        (image.name, machine) for image in distribution.images.values() for name, machine in pairs if image.base == name
    }
    mine, others = [], []
    for name, machine in sorted(pairs | extending, key=lambda one: (distribution.image(one[0]).base is not None, one)):
        if machine == architecture and (not images or name in images):
            mine.append(name)
        else:
            others.append(f"{name} ({machine})")
    return mine, others
