# SPDX-License-Identifier: Apache-2.0
"""The first source that gives something genuine, and the words for when none does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from zaffre.errors import IntegrityError, WorldError
from zaffre.upstream.download import DownloadError
from zaffre.upstream.mirrors import Source

T = TypeVar("T")


def first_genuine(
    archive: str, sources: Sequence[Source], read: Callable[[Source], T], *, thing: str, place: str
) -> tuple[T, tuple[Source, ...]]:
    """What `read` gives for the first source for which it does, and the sources with that one first.

    `read` raises DownloadError or IntegrityError for a source that is no good. `thing` is what is read and
    `place` where it is, in words. Raises IntegrityError when a source gave what is not genuine, else WorldError.
    """
    failures: list[str] = []
    refused: IntegrityError | None = None
    absent = 0
    for source in sources:
        try:
            found = read(source)
        except DownloadError as error:
            failures.append(f"{source.shown} (from {source.origin}): {error}")
            absent += error.absent
        except IntegrityError as error:
            failures.append(f"{source.shown} (from {source.origin}): {error.brief}")
            refused = refused or error
        else:
            return found, (source, *(one for one in sources if one != source))
    if refused is not None and len(sources) == 1:
        raise refused
    if refused is not None:
        raise IntegrityError(
            f"no mirror has a good {thing}",
            where=refused.where,
            details="\n".join(filter(None, [*failures, refused.details])),
            resolution=refused.resolution,
        )
    if absent == len(sources):
        raise WorldError(
            f"no mirror of '{archive}' has the {place}",
            details="\n".join(failures),
            resolution=f"give another one with `--mirror {archive}=URL`, "
            f"or mend the {place.partition(' ')[0]}'s name in the upstream's definition",
        )
    raise WorldError(
        f"no mirror of '{archive}' answers as it should",
        details="\n".join(failures),
        resolution=f"check the network, try again, or give another mirror with `--mirror {archive}=URL`",
    )
