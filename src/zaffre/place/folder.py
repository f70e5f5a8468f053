# SPDX-License-Identifier: Apache-2.0
"""A folder, which a web server serves as it is."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from zaffre.errors import IntegrityError, WorldError
from zaffre.place.target import Publishing
from zaffre.store import disk_full_guard

_LOCK = ".zaffre-publishing"
_PARTIAL = ".zaffre-part-"
_CHUNK = 1 << 20


class Folder:
    """Files are written beside their place, synced, and renamed. What a killed run left is swept up by the next one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    @property
    def shown(self) -> str:
        return str(self._root)

    def read(self, path: str, *, limit: int) -> bytes | None:
        try:
            with (self._root / path).open("rb") as file:
                data = file.read(limit + 1)
        except (FileNotFoundError, NotADirectoryError):
            return None
        if len(data) > limit:
            raise IntegrityError(f"the file is larger than it may be ({limit} bytes)", where=f"{self._root}/{path}")
        return data

    def size(self, path: str) -> int | None:
        try:
            return (self._root / path).stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            return None

    def chunks(self, path: str) -> Iterator[bytes]:
        with (self._root / path).open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk

    def sizes(self, folder: str) -> Mapping[str, int]:
        found: dict[str, int] = {}
        for place, _, names in os.walk(self._root / folder):
            for name in names:
                if not name.startswith(_PARTIAL):
                    path = Path(place, name)
                    with suppress(FileNotFoundError):
                        found[path.relative_to(self._root).as_posix()] = path.lstat().st_size
        return found

    def put(self, path: str, data: bytes) -> None:
        self._write(path, lambda file: file.write(data))

    def put_file(self, path: str, source: Path) -> None:
        def fill(file: BinaryIO) -> None:
            with source.open("rb") as content:
                shutil.copyfileobj(content, file, _CHUNK)

        self._write(path, fill)

    def remove(self, paths: Iterable[str]) -> None:
        for path in paths:
            place = self._root / path
            with suppress(FileNotFoundError):
                place.unlink()
            for parent in place.parents:
                if parent == self._root:
                    break
                try:
                    parent.rmdir()
                except OSError:  # not empty
                    break

    @contextmanager
    def publishing(self) -> Iterator[Publishing]:
        """flock(2), so the right ends with the process, however that ends; between machines, as far as their file
        system carries such locks.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        with (self._root / _LOCK).open("a+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                raise WorldError(
                    "another is publishing here",
                    where=self.shown,
                    details=file.read(200).strip() or None,
                    resolution="wait until that has ended, and run the command again",
                ) from error
            file.truncate(0)
            file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
            file.flush()
            self._sweep()
            try:
                yield _Held()
            finally:
                file.truncate(0)

    def _sweep(self) -> None:
        for place, _, names in os.walk(self._root):
            for name in names:
                if name.startswith(_PARTIAL):
                    with suppress(FileNotFoundError):
                        Path(place, name).unlink()

    def _write(self, path: str, fill: Callable[[BinaryIO], object]) -> None:
        target = self._root / path
        with disk_full_guard(target):
            _make_folders(self._root, target.parent)
            descriptor, name = tempfile.mkstemp(prefix=_PARTIAL, dir=target.parent)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    fill(file)
                    os.fchmod(file.fileno(), 0o644)
                    file.flush()
                    _be_later(file, target)
                    os.fsync(file.fileno())
                Path(name).replace(target)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise
            _sync(target.parent)


class _Held:
    def check(self) -> None:
        """A lock that the kernel keeps is not lost."""


def _be_later(file: BinaryIO, replaced: Path) -> None:
    """HTTP tells times in whole seconds (RFC 9110, section 5.6.7). A client that has what is replaced, and asks for
    what is newer, must get this one, within the same second too.
    """
    with suppress(FileNotFoundError):
        earliest = int(replaced.stat().st_mtime) + 1
        if os.fstat(file.fileno()).st_mtime < earliest:
            os.utime(file.fileno(), (earliest, earliest))


def _make_folders(root: Path, folder: Path) -> None:
    """Open to a web server, whatever the umask."""
    missing = [one for one in (folder, *folder.parents) if one.is_relative_to(root) and not one.exists()]
    for one in reversed(missing):
        one.mkdir(exist_ok=True)
        one.chmod(0o755)
        _sync(one.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
