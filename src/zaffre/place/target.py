# SPDX-License-Identifier: Apache-2.0
"""What a place must be able to do to be published to, and which kind of place a word means."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, runtime_checkable

from zaffre.errors import DefinitionError


class Readable(Protocol):
    """A place that is read from. All paths are relative to its root."""

    @property
    def shown(self) -> str:
        """How it is called in messages, without passwords."""
        ...

    def read(self, path: str, *, limit: int) -> bytes | None:
        """A small file; None when it is not there. Raises IntegrityError for more than `limit` bytes."""
        ...

    def size(self, path: str) -> int | None:
        """Bytes of a file; None when it is not there."""
        ...

    def chunks(self, path: str) -> Iterator[bytes]:
        """The content of a large file, in order."""
        ...


@runtime_checkable
class Listed(Readable, Protocol):
    """A place that says what is there."""

    def sizes(self, folder: str) -> Mapping[str, int]:
        """All files below a folder with their sizes in bytes; empty when there is no such folder."""
        ...


class Target(Listed, Protocol):
    """A place that is written to. A file appears whole, under its name, or not at all."""

    def put(self, path: str, data: bytes) -> None:
        """Write a small file, in the place of an older one if there is one."""
        ...

    def put_file(self, path: str, source: Path) -> None:
        """Write a large file."""
        ...

    def remove(self, paths: Iterable[str]) -> None:
        """Remove files; those that are gone already don't matter."""
        ...

    def publishing(self) -> AbstractContextManager[Publishing]:
        """The right to write, which only one has at a time. Raises WorldError when another has it."""
        ...


class Publishing(Protocol):
    """The right to write to a target, as long as it is held."""

    def check(self) -> None:
        """Raises WorldError when it was lost, so that nothing is done in another's time."""
        ...


def open_target(word: str) -> Target:
    """A folder, or an object store by its URL (`s3://bucket/folder`).

    Raises DefinitionError for what cannot be written to, and when what it takes is not installed.
    """
    scheme = _scheme(word)
    if scheme in {"http", "https"}:
        raise DefinitionError(
            "a repository cannot be published by HTTP",
            where=word,
            resolution="give the folder or the object store (s3://bucket/folder) that is served there",
        )
    if scheme in {"", "file"}:
        from zaffre.place.folder import Folder  # noqa: PLC0415 - only the kind that is used

        return Folder(Path(word.removeprefix("file://")))
    from zaffre.place.objects import open_objects  # noqa: PLC0415 - likewise

    return open_objects(word)


def open_readable(word: str) -> Readable:
    """The same, and what is served by HTTP."""
    if _scheme(word) in {"http", "https"}:
        from zaffre.place.web import Web  # noqa: PLC0415 - likewise

        return Web(word)
    return open_target(word)


def _scheme(word: str) -> str:
    return word.partition("://")[0].lower() if "://" in word else ""
