# SPDX-License-Identifier: Apache-2.0
"""The files that a change of a channel brings to the place."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from zaffre.digest import sha256_bytes
from zaffre.errors import IntegrityError
from zaffre.follow.layout import RELEASE_FILE, pool_path, release_path, target_place
from zaffre.offer import Record
from zaffre.place.target import Readable
from zaffre.release.candidate import Candidate
from zaffre.release.deltas import Made
from zaffre.release.publish import Payload
from zaffre.release.state import State


def payload_of(build: Path, candidate: Candidate, channel: str, *, deltas: Iterable[Made] = ()) -> Payload:
    """What a candidate's release refers to, from its build, and what was made for it."""
    files = {
        target_place(pool_path(file.sha256, name), file.sha256): (candidate.source(build, name), file.size)
        for name, file in candidate.files.items()
    }
    product = f"{candidate.image}-{candidate.architecture}"
    path = release_path(channel, product, candidate.version)
    manifest = (build / RELEASE_FILE, candidate.manifest.size)
    return Payload({**files, **_deltas(deltas), target_place(path, candidate.manifest.sha256): manifest})


def payload_of_promoted(
    place: Readable, state: State, source: str, channel: str, record: Record, *, deltas: Iterable[Made] = ()
) -> Payload:
    """The one file that lies below its channel's name, and what was made for it. Raises IntegrityError when that file
    is not what is listed.
    """
    path = release_path(source, record.product, record.version)
    listed = state.role(source).signed.targets[path]
    origin = target_place(path, listed.hashes["sha256"])
    data = place.read(origin, limit=listed.length)
    if data is None or sha256_bytes(data) != listed.hashes["sha256"]:
        raise IntegrityError("a file of the release is missing, or is another one", where=f"{place.shown}/{origin}")
    path = release_path(channel, record.product, record.version)
    return Payload(_deltas(deltas), {target_place(path, listed.hashes["sha256"]): data})


def _deltas(made: Iterable[Made]) -> dict[str, tuple[Path, int]]:
    """Those that the place has not got."""
    return {
        target_place(one.target.path, one.target.hashes["sha256"]): (one.file, one.target.length)
        for one in made
        if one.file is not None
    }
