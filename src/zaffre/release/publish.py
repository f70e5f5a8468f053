# SPDX-License-Identifier: Apache-2.0
"""Publishing a change: what it refers to first, then the metadata, then the timestamp that makes them visible.

Until the timestamp is written, nodes see the state as it was; from then on they see the new one, whole. Only a new root
comes after it, since nodes look for roots by number: what the timestamp leads to is signed by the keys of both roots
then. A run that ends anywhere can be run again, and finds what has arrived.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.follow.layout import (
    ROOT_ROLE,
    SNAPSHOT_ROLE,
    TIMESTAMP_ROLE,
    metadata_place,
    target_place,
)
from zaffre.place.target import Publishing, Readable, Target
from zaffre.progress import Progress
from zaffre.release.change import Change, require_online
from zaffre.release.keys import Ring
from zaffre.release.metadata import described, first_snapshot, first_timestamp, succeed, until
from zaffre.release.state import State, load_state

_UPLOADS = 8


@dataclass(frozen=True)
class Payload:
    """Files that a change refers to, by their place: where each is here, and its size; small ones as they are."""

    files: Mapping[str, tuple[Path, int]] = field(default_factory=dict)
    texts: Mapping[str, bytes] = field(default_factory=dict)

    def missing(self, place: Target) -> dict[str, int]:
        """What is not there yet, with its size."""
        sizes = {path: size for path, (_, size) in self.files.items()} | {
            path: len(text) for path, text in self.texts.items()
        }
        return {path: size for path, size in sizes.items() if place.size(path) != size}


@dataclass(frozen=True)
class Done:
    """What was written: files of metadata, for the state of that number. `root` is the newest root, to be kept as the
    root of trust.
    """

    version: int
    files: int
    root: bytes


def upload(place: Target, payload: Payload, progress: Progress) -> tuple[int, int]:
    """Bring what is not there yet. Returns how many files that were, and their bytes."""
    missing = payload.missing(place)
    if not missing:
        return 0, 0
    total = sum(missing.values())
    with progress.transfer(f"{len(missing)} files", total) as advance, ThreadPoolExecutor(_UPLOADS) as pool:

        def one(path: str) -> None:
            if path in payload.texts:
                place.put(path, payload.texts[path])
            else:
                place.put_file(path, payload.files[path][0])
            advance(missing[path])

        try:
            list(pool.map(one, missing))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return len(missing), total


def current(place: Readable, trusted: bytes, change: Change | None = None) -> State | None:
    """What is published; None when nothing is and the change is a first one.

    A change whose root was on its way when its run ended may be half there: then its own root is believed, if the
    trusted one leads to it.
    """
    root = change.root if change is not None else None
    if root is not None and root.signed.version == 1 and place.size(metadata_place(TIMESTAMP_ROLE, 0)) is None:
        return None
    try:
        return load_state(place, trusted)
    except IntegrityError:
        if root is None:
            raise
        return load_state(place, trusted, ahead=root.to_bytes())


def commit(change: Change, place: Target, held: Publishing, trusted: bytes, ring: Ring, *, now: datetime) -> Done:
    """Publish a change whose signatures are complete, with the right to write held.

    Raises FindingError when signatures or files are missing, or when another has published meanwhile; then nothing
    was written.
    """
    state = current(place, trusted, change)
    where = place.shown
    change.require_next(state, where)
    change.require_signed(state, where)
    _require_files(change, state, place)
    root = change.root.signed if change.root is not None else _of(state).root.signed
    roots = [root, *([state.root.signed] if state is not None else [])]
    written = {name: metadata for name, metadata in change.fresh(state).items() if name != ROOT_ROLE}
    data = {name: metadata.to_bytes() for name, metadata in written.items()}
    snapshot = succeed(state.snapshot, until(root, SNAPSHOT_ROLE, now)) if state else first_snapshot(root, now)
    snapshot.signed.meta.update({f"{name}.json": described(written[name], content) for name, content in data.items()})
    require_online(snapshot, SNAPSHOT_ROLE, roots, ring, where)
    data[SNAPSHOT_ROLE] = snapshot.to_bytes()
    timestamp = _timestamp(state, root, snapshot, data[SNAPSHOT_ROLE], now)
    require_online(timestamp, TIMESTAMP_ROLE, roots, ring, where)
    versions = {name: metadata.signed.version for name, metadata in {**written, SNAPSHOT_ROLE: snapshot}.items()}
    for name, content in data.items():
        held.check()
        place.put(metadata_place(name, versions[name]), content)
    held.check()
    last = timestamp.to_bytes()
    place.put(metadata_place(TIMESTAMP_ROLE, 0), last)
    data[TIMESTAMP_ROLE] = last
    newest = (change.root or _of(state).root).to_bytes()
    if change.root is not None:
        held.check()
        place.put(metadata_place(ROOT_ROLE, root.version), newest)
        data[ROOT_ROLE] = newest
    return Done(timestamp.signed.version, len(data), newest)


def _of(state: State | None) -> State:
    if state is None:
        raise DefinitionError("a first change needs a root", where="root")
    return state


def _timestamp(
    state: State | None, root: Root, snapshot: Metadata[Snapshot], data: bytes, now: datetime
) -> Metadata[Timestamp]:
    made = succeed(state.timestamp, until(root, TIMESTAMP_ROLE, now)) if state else first_timestamp(root, now)
    made.signed.snapshot_meta = described(snapshot, data)
    return made


def _require_files(change: Change, state: State | None, place: Target) -> None:
    """Nothing that is not there becomes visible."""
    known = {
        target_place(path, target.hashes["sha256"])
        for targets in (state.channels.values() if state is not None else ())
        for path, target in targets.signed.targets.items()
    }
    for place_of, length in _places(change.channels.values()):
        if place_of not in known and place.size(place_of) != length:
            raise FindingError(
                "a file of the release is not there yet, or is another one",
                where=f"{place.shown}/{place_of}",
                resolution="publish the release again: 'zaffre release publish' brings what is missing",
            )


def _places(channels: Iterable[Metadata[Targets]]) -> Iterable[tuple[str, int]]:
    for metadata in channels:
        for path, target in metadata.signed.targets.items():
            yield target_place(path, target.hashes["sha256"]), target.length
