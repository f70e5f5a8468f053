# SPDX-License-Identifier: Apache-2.0
"""An unpacked source that is being changed: its files by relative path, never one outside of it.

A source comes from elsewhere. It may hold a link to /etc where a folder is expected, so each step of a path is
looked at, and a plain file is the only thing that is read or written.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from zaffre.component.faults import NoMatchError, OperationError
from zaffre.errors import DefinitionError

_MOST_BYTES = 64 << 20
_MOST_NAMES = 100_000


class SourceTree:
    """Paths are relative to the source, with "/" between their parts."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._undo: dict[str, tuple[bytes, int] | None] = {}
        self._undoing = False

    def begin(self) -> None:
        """Remember what is changed from now on, for `undo`."""
        self._undo = {}
        self._undoing = True

    def undo(self) -> None:
        """Take back what was changed since `begin`. Folders that were made stay, empty."""
        self._undoing = False
        for path, before in reversed(self._undo.items()):
            place = self.root / path
            place.unlink(missing_ok=True)
            if before is not None:
                content, mode = before
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(content)
                place.chmod(mode)
        self._undo = {}

    def _remember(self, path: str, place: Path) -> None:
        if self._undoing and path not in self._undo:
            there = place.is_file() and not place.is_symlink()
            self._undo[path] = (place.read_bytes(), place.lstat().st_mode & 0o777) if there else None

    def exists(self, path: str) -> bool:
        found = self._place(path)
        return found.is_symlink() or found.exists()

    def read(self, path: str, *, key: str = "path") -> bytes:
        """Content of a plain file. NoMatchError, with near names, if there is none."""
        place = self._place(path, key=key)
        try:
            status = place.lstat()
        except (FileNotFoundError, NotADirectoryError):
            raise NoMatchError(key, f"there is no file {path!r} in the source", near=self.near(path)) from None
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "no plain file"
            raise OperationError(key, f"{path!r} is {kind} in the source")
        if status.st_size > _MOST_BYTES:
            raise OperationError(key, f"{path!r} is larger than {_MOST_BYTES >> 20} MB, which no text is")
        return place.read_bytes()

    def text(self, path: str, *, key: str = "path") -> str:
        try:
            return self.read(path, key=key).decode()
        except UnicodeDecodeError as error:
            raise OperationError(key, f"{path!r} is not UTF-8 (byte {error.start})") from error

    def write(self, path: str, content: bytes, *, executable: bool | None = None, key: str = "path") -> None:
        """Make or replace a plain file; its mode stays unless `executable` says otherwise."""
        place = self._place(path, key=key)
        if place.is_dir() and not place.is_symlink():
            raise OperationError(key, f"{path!r} is a folder in the source")
        mode = place.lstat().st_mode & 0o777 if place.is_file() and not place.is_symlink() else 0o644
        if executable is not None:
            mode = 0o755 if executable else 0o644
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise OperationError(key, f"a part of {path!r} is no folder in the source") from None
        self._remember(path, place)
        place.unlink(missing_ok=True)  # never through a link, nor into a file that has another name
        place.write_bytes(content)
        place.chmod(mode)

    def remove(self, path: str, *, key: str = "path") -> None:
        """Remove a plain file, and the folders that are empty without it, as patch(1) does."""
        self.read(path, key=key)
        place = self._place(path, key=key)
        self._remember(path, place)
        place.unlink()
        for parent in place.parents:
            if parent == self.root or any(parent.iterdir()):
                break
            parent.rmdir()

    def remove_folder(self, path: str) -> None:
        place = self._place(path)
        if place.is_dir() and not place.is_symlink():
            for name in [*self.names(path)]:
                self._remember(name, self.root / name)
            shutil.rmtree(place)

    def executable(self, path: str) -> bool:
        return bool(self._place(path).lstat().st_mode & stat.S_IXUSR)

    def names(self, folder: str = "") -> Iterator[str]:
        """Paths of plain files below a folder, sorted; links are not followed."""
        top = self.root / folder
        for place in sorted(top.rglob("*")):
            if place.is_file() and not place.is_symlink():
                yield place.relative_to(self.root).as_posix()

    def near(self, path: str) -> tuple[str, ...]:
        """Files whose paths look like this one, or that have its name elsewhere."""
        names: list[str] = []
        for name in self.names():
            if not name.startswith("."):  # such as what quilt keeps of files in .pc/
                names.append(name)
            if len(names) == _MOST_NAMES:
                break
        base = path.rpartition("/")[2]
        same = [name for name in names if name.rpartition("/")[2] == base]
        return tuple(dict.fromkeys([*same[:3], *get_close_matches(path, names, n=3, cutoff=0.75)]))[:3]

    def _place(self, path: str, *, key: str = "path") -> Path:
        """The place on this machine. Refused: a path that leaves the source, by its words or through a link."""
        parts = path.split("/")
        if path.startswith("/") or not path or "\0" in path or any(part in {"", ".", ".."} for part in parts):
            raise OperationError(key, f"{path!r} is not a path within the source")
        place = self.root
        for part in parts[:-1]:
            place /= part
            if place.is_symlink():
                raise OperationError(key, f"{path!r} goes through a link: {place.relative_to(self.root)}")
        return place / parts[-1]


def copy_source(source: Path, target: Path) -> None:
    """Copy an unpacked source. DefinitionError if it holds what no source holds, such as a device."""
    for place in source.rglob("*"):
        mode = place.lstat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
            raise DefinitionError(
                "the source holds something that is neither a file, a folder nor a link",
                where=str(place.relative_to(source)),
                resolution="this is no source to build; look where it comes from",
            )
    shutil.copytree(source, target, symlinks=True)
