# SPDX-License-Identifier: Apache-2.0
"""Feeds in a place: written so that readers see the old ones or the new ones, and verified by whoever has the key.

Files lie under their digests. One small file, written last, is the list of them: an in-toto statement in a DSSE
envelope, signed by the release key.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from zaffre.digest import JSON, sha256_bytes
from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.place.target import Readable, Target
from zaffre.trust.provenance import STATEMENT, opened

INDEX = "index.intoto.json"
PREDICATE = "urn:x-zaffre:feed:1"
_FILES = "files"
_MOST_INDEX = 16 << 20
_MOST_FILE = 1 << 30
_TOLERANCE = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class FeedFile:
    """A file of a published feed; `path` is where it lies in the place."""

    name: str
    path: str
    sha256: str
    size: int


@dataclass(frozen=True)
class FeedIndex:
    """What is published: by which distribution, when it was made, and the files."""

    distribution: str
    made: dt.datetime
    files: tuple[FeedFile, ...]


def index_of(files: Mapping[str, bytes], *, distribution: str, at: dt.datetime) -> FeedIndex:
    digests = {name: sha256_bytes(data) for name, data in files.items()}
    return FeedIndex(
        distribution,
        at.astimezone(dt.UTC).replace(microsecond=0),
        tuple(
            FeedFile(name, f"{_FILES}/{digests[name]}/{name.rpartition('/')[2]}", digests[name], len(files[name]))
            for name in sorted(files)
        ),
    )


def publish_feed(
    place: Target,
    index: FeedIndex,
    files: Mapping[str, bytes],
    seal: Callable[[Mapping[str, JSON]], bytes],
    key: ec.EllipticCurvePublicKey,
) -> None:
    """Bring the files, then the list. Files of the list before stay, for who has just read it; older ones go last.

    Raises WorldError when another publishes, IntegrityError where the list that is there is not of this key.
    """
    with place.publishing() as held:
        before = _listed(place, key)
        for one in index.files:
            if place.size(one.path) != one.size:
                place.put(one.path, files[one.name])
        held.check()
        place.put(INDEX, seal(_statement(index)))
        named = {one.path for one in (*index.files, *(before.files if before else ()))}
        place.remove([path for path in sorted(place.sizes(_FILES)) if path not in named])


def _listed(place: Readable, key: ec.EllipticCurvePublicKey) -> FeedIndex | None:
    data = place.read(INDEX, limit=_MOST_INDEX)
    return _read(opened(data, key), place.shown) if data is not None else None


def _statement(index: FeedIndex) -> Mapping[str, JSON]:
    return {
        "_type": STATEMENT,
        "subject": [{"name": one.path, "digest": {"sha256": one.sha256}} for one in index.files],
        "predicateType": PREDICATE,
        "predicate": {
            "distribution": index.distribution,
            "made": index.made.isoformat(),
            "files": [
                {"name": one.name, "path": one.path, "sha256": one.sha256, "size": one.size} for one in index.files
            ],
        },
    }


def verify_feed(
    place: Readable, key: ec.EllipticCurvePublicKey, *, now: dt.datetime, max_age: dt.timedelta
) -> FeedIndex:
    """The list, if the key signed it, it is neither too old nor of the future, and every file of it is there as
    it says.

    Raises DefinitionError where nothing is published, IntegrityError for what does not hold, FindingError for age.
    """
    index = _listed(place, key)
    if index is None:
        raise DefinitionError(
            "no feed is published here", where=place.shown, resolution="`zaffre feed publish --to PLACE` makes one"
        )
    for one in index.files:
        _require(place, one)
    if index.made - now > _TOLERANCE:
        raise FindingError(
            f"the feed is dated {index.made:%Y-%m-%d %H:%M} UTC, which is in the future",
            where=place.shown,
            details=f"this machine's clock says {now:%Y-%m-%d %H:%M} UTC",
            resolution="set the clock that is wrong, here or where it is published; then publish it anew",
        )
    if now - index.made > max_age:
        raise FindingError(
            f"the feed is {(now - index.made).days} days old, and may be {max_age.days}",
            where=place.shown,
            resolution="publish it anew, or say how old it may be with --max-age",
        )
    return index


def _read(value: Mapping[str, Any], where: str) -> FeedIndex:
    try:
        if value["predicateType"] != PREDICATE:
            raise IntegrityError("it is a statement about something else", where=where)
        said = value["predicate"]
        made = dt.datetime.fromisoformat(said["made"])
        files = tuple(
            FeedFile(str(one["name"]), str(one["path"]), str(one["sha256"]), int(one["size"])) for one in said["files"]
        )
        index = FeedIndex(str(said["distribution"]), made, files)
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError("the list of a feed has another form", where=where, details=str(error)) from error
    if made.tzinfo is None or any(one.path.split("/")[:2] != [_FILES, one.sha256] for one in files):
        raise IntegrityError("the list of a feed has another form", where=where)
    if any(part in {"", ".", ".."} for one in files for part in one.path.split("/")):
        raise IntegrityError("a path of the list leads out of the place", where=where)
    return index


def _require(place: Readable, one: FeedFile) -> None:
    size = place.size(one.path)
    if size is None:
        raise IntegrityError("a file of the feed is missing", where=f"{place.shown}/{one.path}")
    digest = hashlib.sha256()
    if size == one.size and size <= _MOST_FILE:
        for chunk in place.chunks(one.path):
            digest.update(chunk)
    if size != one.size or digest.hexdigest() != one.sha256:
        raise IntegrityError("a file of the feed is not the one that its list names", where=f"{place.shown}/{one.path}")
