# SPDX-License-Identifier: Apache-2.0
"""Finished directory trees (tools trees): made once, moved into place whole, held while they are in use."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

from zaffre.digest import Sha256
from zaffre.store.action import ActionKey
from zaffre.store.errors import disk_full_guard
from zaffre.store.files import allocated_size, hash_file
from zaffre.store.layout import Layout, mark_used
from zaffre.store.locks import HeldLock, acquire
from zaffre.store.session import Sessions

_ROOT = "root"
_DIGEST = "digest"
_SIZE = "size"


class HeldTree:
    """A tree in use: collection leaves it alone until the `with` block ends. Usable once."""

    def __init__(self, path: Path, held: HeldLock) -> None:
        self._path = path
        self._held = held

    def __enter__(self) -> Path:
        return self._path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.release()


class Trees:
    def __init__(self, layout: Layout, sessions: Sessions) -> None:
        self._layout = layout
        self._sessions = sessions

    def hold(self, key: ActionKey) -> HeldTree | None:
        held = self._lock(key, shared=True)
        try:
            with self._layout.using():
                present = mark_used(self._layout.tree(key))
        except BaseException:
            held.release()
            raise
        if not present:
            held.release()
            return None
        return HeldTree(self._layout.tree(key) / _ROOT, held)

    def add(self, key: ActionKey, produce: Callable[[Path], None], on_wait: Callable[[], None] | None) -> None:
        target = self._layout.tree(key)
        if target.is_dir():  # don't wait for those who use it
            return
        with self._lock(key, shared=False, on_wait=on_wait):
            if target.is_dir():
                return
            with self._sessions.scratch("tree") as scratch, disk_full_guard(scratch):
                whole = scratch / "whole"
                root = whole / _ROOT
                root.mkdir(parents=True)
                produce(root)
                (whole / _DIGEST).write_text(f"{tree_digest(root)}\n", encoding="ascii")
                (whole / _SIZE).write_text(f"{allocated_size(whole)}\n", encoding="ascii")
                with self._layout.using():
                    mark_used(whole)
                    whole.replace(target)

    def broken(self, key: ActionKey) -> bool:
        """Whether the tree's content is no longer what it was when it was made."""
        held = self.hold(key)
        if held is None:
            return False
        with held as root:
            try:
                return (root.parent / _DIGEST).read_text(encoding="ascii").strip() != tree_digest(root)
            except (OSError, UnicodeDecodeError):
                return True

    def take_out(self, key: ActionKey, destination: Path) -> bool:
        """Moves an unused tree away to be removed; false when it is in use. Call while collecting."""
        held = acquire(self._lock_path(key), wait=False)
        if held is None:
            return False
        with held:
            self._layout.tree(key).replace(destination)
        return True

    def in_use(self, key: ActionKey) -> bool:
        held = acquire(self._lock_path(key), wait=False)
        if held is None:
            return True
        held.release()
        return False

    def _lock_path(self, key: ActionKey) -> Path:
        return self._layout.lock(f"tree-{key}")

    def _lock(self, key: ActionKey, *, shared: bool, on_wait: Callable[[], None] | None = None) -> HeldLock:
        self._sessions.directory()
        held = acquire(self._lock_path(key), shared=shared, on_wait=on_wait)
        if held is None:
            raise AssertionError
        return held


def tree_size(tree: Path) -> int:
    """Bytes on disk of `trees/<key>`, as they were when it was made; counted for one that does not say it.

    Raises FileNotFoundError when it is not there.
    """
    try:
        return int((tree / _SIZE).read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):
        return allocated_size(tree)


def tree_digest(root: Path) -> Sha256:
    """SHA-256 over every path below `root` with its type, mode, owner and content. Times are not part of it."""
    digest = hashlib.sha256()
    for line in _lines(root, b""):
        digest.update(line)
    return Sha256(digest.hexdigest())


def _lines(folder: Path, prefix: bytes) -> Iterator[bytes]:
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: os.fsencode(entry.name))
    for entry in ordered:
        status = entry.stat(follow_symlinks=False)
        name = prefix + os.fsencode(entry.name)
        content = ""
        if stat.S_ISREG(status.st_mode):
            content = hash_file(Path(entry.path))
        elif stat.S_ISLNK(status.st_mode):
            content = str(Path(entry.path).readlink())
        head = f"{status.st_mode:o} {status.st_uid} {status.st_gid} "
        yield head.encode() + name + b"\0" + os.fsencode(content) + b"\n"
        if stat.S_ISDIR(status.st_mode):
            yield from _lines(Path(entry.path), name + b"/")
