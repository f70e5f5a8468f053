# SPDX-License-Identifier: Apache-2.0
"""A place that dies while it is written to, at a write that a test chooses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from zaffre.place.folder import Folder
from zaffre.place.target import Publishing


class DiesError(Exception):
    """The end of a process, or of a connection."""


@dataclass
class Mortal:
    """A folder that fails for good at one of its writes: before it, or when the file is half there."""

    folder: Folder
    left: int

    @property
    def shown(self) -> str:
        return self.folder.shown

    def read(self, path: str, *, limit: int) -> bytes | None:
        return self.folder.read(path, limit=limit)

    def size(self, path: str) -> int | None:
        return self.folder.size(path)

    def chunks(self, path: str) -> Iterator[bytes]:
        return self.folder.chunks(path)

    def sizes(self, folder: str) -> Mapping[str, int]:
        return self.folder.sizes(folder)

    def put(self, path: str, data: bytes) -> None:
        self._live()
        self.folder.put(path, data)

    def put_file(self, path: str, source: Path) -> None:
        self._live()
        self.folder.put_file(path, source)

    def remove(self, paths: Iterable[str]) -> None:
        self.folder.remove(paths)

    def publishing(self) -> AbstractContextManager[Publishing]:
        return self.folder.publishing()

    def _live(self) -> None:
        if self.left <= 0:
            raise DiesError
        self.left -= 1
