# SPDX-License-Identifier: Apache-2.0
"""Where things lie in a store, and the rule by which use and collection exclude each other.

blobs/ab/abcd…      a file, named by the SHA-256 of its content, mode 0444; mtime = last use
actions/ab/abcd….json   the record of an action, named by its key; mtime = last use
trees/<key>/root/   a finished directory tree; mtime of trees/<key> = last use
trees/<key>/digest  SHA-256 over the tree's content
trees/<key>/size    bytes on disk that it takes
partial/<digest>    a download that goes on; partial/<digest>.corrupt: a blob that lost its content
history/<hash>.json the inputs under a label, the last time
tmp/                sessions (see session.py)
locks/              flock files (see locks.py)
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from zaffre.store.locks import HeldLock, acquire

FOLDERS = ("blobs", "actions", "trees", "partial", "history", "tmp", "locks")


@dataclass(frozen=True)
class Layout:
    root: Path

    def make(self) -> None:
        for name in FOLDERS:
            (self.root / name).mkdir(parents=True, exist_ok=True)

    def blob(self, digest: str) -> Path:
        return self.root / "blobs" / digest[:2] / digest

    def action(self, key: str) -> Path:
        return self.root / "actions" / key[:2] / f"{key}.json"

    def tree(self, key: str) -> Path:
        return self.root / "trees" / key

    def lock(self, name: str) -> Path:
        return self.root / "locks" / name

    @property
    def partial(self) -> Path:
        return self.root / "partial"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    def using(self) -> HeldLock:
        """Held for the instant in which something is found and marked as used; `collecting` waits for it.

        Not within another one of the same thread: a collection that waits is let in first.
        """
        with self._lock("collection-next", shared=True):
            pass
        return self._lock("collection", shared=True)

    def collecting(self) -> HeldLock:
        """Held while things are chosen for the last time and taken away.

        flock(2) gives a shared lock to whoever asks as long as one is held, so among many users nobody else would ever
        get in: who is next holds a second lock, for which new users wait.
        """
        with self._lock("collection-next", shared=False):
            return self._lock("collection", shared=False)

    def _lock(self, name: str, *, shared: bool) -> HeldLock:
        held = acquire(self.lock(name), shared=shared, keep_file=True)
        if held is None:
            raise AssertionError
        return held


def mark_used(path: Path) -> bool:
    """Sets the time of last use; false when the file is not there. A read-only store stays usable."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError:
        with suppress(OSError):
            return path.exists()
        return False
    return True
