# SPDX-License-Identifier: Apache-2.0
"""A repository as a node sees it: python-tuf's own client, from a root of trust, over any place that can be read.

What is remote is bounded: the client bounds sizes, and here is a limit on the time that a file may take, so that a
server which gives a byte now and then is left, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError, RepositoryError, SlowRetrievalError
from tuf.api.metadata import Metadata, Root, Snapshot, TargetFile, Targets, Timestamp
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from zaffre.errors import ZaffreError
from zaffre.place.target import Readable
from zaffre.release.layout import (
    MAX_METADATA,
    MAX_ROOTS,
    METADATA,
    ROOT_ROLE,
    SNAPSHOT_ROLE,
    TARGETS,
    TARGETS_ROLE,
    TIMESTAMP_ROLE,
)
from zaffre.release.metadata import SignedT, channels_of

SECONDS: Final = 60.0
"""For one file of metadata."""
_BASE = "place:///"
_NOT_FOUND = 404


class PlaceFetcher(FetcherInterface):
    """Reads from a place. `seconds` bounds each file; `clock` counts them."""

    def __init__(
        self, place: Readable, *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
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

    def __init__(self, place: Readable, folder: Path, trusted: bytes, *, seconds: float = SECONDS) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._updater = Updater(
            str(folder),
            f"{_BASE}{METADATA}/",
            target_dir=str(folder),
            target_base_url=f"{_BASE}{TARGETS}/",
            fetcher=PlaceFetcher(place, seconds=seconds),
            config=UpdaterConfig(max_root_rotations=MAX_ROOTS, targets_max_length=MAX_METADATA),
            bootstrap=trusted,
        )

    def refresh(self) -> None:
        """Root, timestamp, snapshot and targets, in TUF's order (5.3 to 5.6)."""
        self._updater.refresh()

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
