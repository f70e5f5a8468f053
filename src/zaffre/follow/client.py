# SPDX-License-Identifier: Apache-2.0
"""A repository as a node sees it: python-tuf's own client, from a root of trust, over any place that can be read.

What is remote is bounded: the client bounds sizes, and here is a limit on the time that a file may take, so that a
server which gives a byte now and then is left, too.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    RepositoryError,
    SlowRetrievalError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from zaffre.errors import ZaffreError
from zaffre.follow.layout import (
    MAX_METADATA,
    MAX_ROOTS,
    METADATA,
    ROOT_ROLE,
    SNAPSHOT_ROLE,
    TARGETS,
    TARGETS_ROLE,
    TIMESTAMP_ROLE,
)

SECONDS: Final = 60.0
"""For one file of metadata."""
_BASE = "place:///"
_NOT_FOUND = 404
_SEEN = "root.seen"
_TAKES_BOOTSTRAP = "bootstrap" in inspect.signature(Updater.__init__).parameters
"""Since python-tuf 6; Debian 13 has 5.1."""

SignedT = TypeVar("SignedT", Root, Snapshot, Targets, Timestamp)


class Source(Protocol):
    """What a client needs of a place: all that `zaffre.place` reads from fits."""

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when it is not there."""
        ...

    def chunks(self, path: str) -> Iterator[bytes]:
        """Its content, in order."""
        ...


def channels_of(targets: Targets) -> tuple[str, ...]:
    """The channels, in the order in which they were named when the repository was made."""
    roles = targets.delegations.roles if targets.delegations else None
    return tuple(reversed(roles or {}))


class PlaceFetcher(FetcherInterface):
    """Reads from a place. `seconds` bounds each file; `clock` counts them."""

    def __init__(self, place: Source, *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        self._place = place
        self._seconds = seconds
        self._clock = clock

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = unquote(urlsplit(url).path).lstrip("/")
        try:
            size = self._place.size(path)
        except ZaffreError as error:
            raise DownloadError(str(error)) from error
        if size is None:
            raise DownloadHTTPError(f"{path} is not there", _NOT_FOUND)
        return self._chunks(path)

    def _chunks(self, path: str) -> Iterator[bytes]:
        end = self._clock() + self._seconds
        try:
            for chunk in self._place.chunks(path):
                yield chunk
                if self._clock() > end:
                    raise SlowRetrievalError(f"{path} did not arrive within {self._seconds:.0f} seconds")
        except ZaffreError as error:
            raise DownloadError(str(error)) from error


class Follower:
    """python-tuf's client in a folder of its own, which keeps what it has seen. One run is one look.

    Methods raise RepositoryError for what does not verify, DownloadError for what can't be had.
    """

    def __init__(self, place: Source, folder: Path, trusted: bytes, *, seconds: float = SECONDS) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        updater: Callable[..., Updater] = Updater
        self._updater = updater(
            str(folder),
            f"{_BASE}{METADATA}/",
            target_dir=str(folder),
            target_base_url=f"{_BASE}{TARGETS}/",
            fetcher=PlaceFetcher(place, seconds=seconds),
            config=UpdaterConfig(max_root_rotations=MAX_ROOTS, targets_max_length=MAX_METADATA),
            **({"bootstrap": trusted} if _TAKES_BOOTSTRAP else _lay(folder, trusted)),
        )

    def refresh(self) -> None:
        """Root, timestamp, snapshot and targets, in TUF's order (5.3 to 5.6)."""
        self._updater.refresh()
        seen = _seen(self._folder)
        if self.root.version < seen:
            raise BadVersionNumberError(f"root {self.root.version} is offered, and {seen} was seen before")

    def channel(self, name: str) -> Targets:
        """A channel's metadata, verified. Raises RepositoryError for one that nobody delegated."""
        # The client looks into the roles that may have such a path, and keeps what has verified.
        self._updater.get_targetinfo(f"{name}/-/-/-")
        if name not in channels_of(self.targets):
            raise RepositoryError(f"there is no channel {name}")
        return self._kept(name, Targets)

    def fetch(self, target: TargetFile, into: Path) -> None:
        """A target, by what a channel's metadata say of it."""
        self._updater.download_target(target, str(into))

    @property
    def root(self) -> Root:
        return self._kept(ROOT_ROLE, Root)

    @property
    def timestamp(self) -> Timestamp:
        return self._kept(TIMESTAMP_ROLE, Timestamp)

    @property
    def snapshot(self) -> Snapshot:
        return self._kept(SNAPSHOT_ROLE, Snapshot)

    @property
    def targets(self) -> Targets:
        return self._kept(TARGETS_ROLE, Targets)

    def _kept(self, role: str, kind: type[SignedT]) -> SignedT:
        path = self._folder / f"{role}.json"
        if not path.is_file():
            raise RepositoryError(f"there is no role {role}")
        found: Metadata[SignedT] = Metadata.from_bytes(path.read_bytes())
        if not isinstance(found.signed, kind):
            raise RepositoryError(f"{role} is metadata of another kind")
        return found.signed


def _lay(folder: Path, trusted: bytes) -> dict[str, bytes]:
    """For a client that begins with the root in its folder: lay the trusted one there, so that each look goes on from
    that, and keep the number of the newest that was seen.
    """
    path = folder / f"{ROOT_ROLE}.json"
    seen = _seen(folder)
    if path.is_file():
        try:
            kept: Metadata[Root] = Metadata.from_bytes(path.read_bytes())
            seen = max(seen, kept.signed.version)
        except RepositoryError:  # cut off half-way; the trusted one takes its place
            pass
    (folder / _SEEN).write_text(str(seen))
    path.unlink(missing_ok=True)
    path.write_bytes(trusted)
    return {}


def _seen(folder: Path) -> int:
    try:
        return int((folder / _SEEN).read_text())
    except (FileNotFoundError, ValueError):
        return 0
