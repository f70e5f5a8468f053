# SPDX-License-Identifier: Apache-2.0
"""An object store, by fsspec: S3 and what speaks like it; others by fsspec's drivers for them.

An object appears whole when its upload ends: what fsspec reaches besides, such as SFTP, does not promise that. Keys and
endpoint come from where the driver looks for them: for S3, the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID …) and
the user's AWS files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import fsspec
from fsspec.spec import AbstractFileSystem

from zaffre.errors import DefinitionError, IntegrityError, WorldError, ZaffreError
from zaffre.place.lease import Lease
from zaffre.place.target import Publishing
from zaffre.upstream.mirrors import shown_url

_CHUNK = 4 << 20
_EXTRAS = {"s3": "zaffre[s3]", "s3a": "zaffre[s3]"}
_STORES = {*_EXTRAS, "gs", "gcs", "abfs", "az", "memory"}


def open_objects(url: str) -> Objects:
    """Raises DefinitionError for what is no object store, and when its driver is not installed."""
    scheme = url.partition("://")[0]
    if scheme not in _STORES:
        raise DefinitionError(
            f"'{scheme}://' is no object store that can be published to",
            where=shown_url(url),
            resolution="give a folder, or s3://bucket/folder",
        )
    try:
        # Listings are not remembered: another may publish meanwhile.
        system, root = fsspec.url_to_fs(url, use_listings_cache=False, skip_instance_cache=True)
    except ImportError as error:
        raise DefinitionError(
            f"{scheme}:// needs a driver that is not installed",
            where=shown_url(url),
            details=str(error),
            resolution=f"install it beside Zaffre: pip install '{_EXTRAS[scheme]}'"
            if scheme in _EXTRAS
            else "install the package that is named there",
        ) from error
    return Objects(system, root.rstrip("/"), shown_url(url))


class Objects:
    """Objects below a prefix. What the driver raises becomes a WorldError that names the object."""

    def __init__(self, system: AbstractFileSystem, root: str, shown: str) -> None:
        self._system = system
        self._root = root
        self._shown = shown

    @property
    def shown(self) -> str:
        return self._shown

    def read(self, path: str, *, limit: int) -> bytes | None:
        size = self.size(path)
        if size is None:
            return None
        if size > limit:
            raise IntegrityError(f"the file is larger than it may be ({limit} bytes)", where=f"{self._shown}/{path}")
        with self._guarded(path):
            try:
                return bytes(self._system.cat_file(self._at(path)))
            except FileNotFoundError:
                return None

    def size(self, path: str) -> int | None:
        with self._guarded(path):
            try:
                found = self._system.info(self._at(path))
            except FileNotFoundError:
                return None
        return int(found["size"]) if found["type"] == "file" else None

    def chunks(self, path: str) -> Iterator[bytes]:
        with self._guarded(path), self._system.open(self._at(path), "rb", block_size=_CHUNK) as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def sizes(self, folder: str) -> Mapping[str, int]:
        with self._guarded(folder):
            found = self._system.find(self._at(folder), detail=True)
        start = len(self._root) + 1
        return {name[start:]: int(info["size"]) for name, info in found.items()}

    def put(self, path: str, data: bytes) -> None:
        with self._guarded(path):
            self._system.pipe_file(self._at(path), data)

    def put_file(self, path: str, source: Path) -> None:
        with self._guarded(path):
            self._system.put_file(str(source), self._at(path))

    def create(self, path: str, data: bytes) -> bool:
        """Write a file that is not there yet; false if it is. Atomic where the driver and the store can do that."""
        with self._guarded(path):
            try:
                self._system.pipe_file(self._at(path), data, mode="create")
            except FileExistsError:
                return False
        return True

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            with self._guarded(path):
                try:
                    self._system.rm_file(self._at(path))
                except FileNotFoundError:
                    continue

    @contextmanager
    def publishing(self) -> Iterator[Publishing]:
        with Lease(self) as lease:
            yield lease

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    @contextmanager
    def _guarded(self, path: str) -> Iterator[None]:
        try:
            yield
        except ZaffreError:
            raise
        except Exception as error:  # a driver raises whatever its own libraries do
            raise WorldError(
                "the object store did not do what it was asked to",
                where=f"{self._shown}/{path}",
                details=f"{type(error).__name__}: {error}",
                resolution="check endpoint, keys and network, and run the command again: it goes on where it stopped",
            ) from error
