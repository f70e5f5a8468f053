# SPDX-License-Identifier: Apache-2.0
"""A user of the store: the process that builds, its scratch directories, and what is left of those that died.

A session is a directory `tmp/<id>/` with a lock file `tmp/<id>.lock` beside it, locked as long as the
process lives. A session whose lock can be taken belongs to a process that has ended: its directory is a
leftover. The time at which the lock file was made is the session's beginning; garbage collection keeps
whatever was used after the beginning of the oldest session that lives.
"""

from __future__ import annotations

import os
import signal
import tempfile
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from zaffre.errors import ToolError
from zaffre.store.errors import disk_full_guard
from zaffre.store.files import remove_tree
from zaffre.store.locks import HeldLock, acquire

_LOCK_SUFFIX = ".lock"


class Sessions:
    """The sessions below `folder`; opens this process's own on first need, and again after a fork."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._guard = threading.Lock()
        self._held: HeldLock | None = None
        self._directory: Path | None = None
        self._pid = 0

    def directory(self) -> Path:
        """This process's own directory. The first call also removes what dead sessions left."""
        with self._guard:
            if self._directory is None or self._pid != os.getpid():
                self.remove_leftovers()
                with disk_full_guard(self._folder), _undisturbed():
                    self._open()
            if self._directory is None:
                raise AssertionError
            return self._directory

    def _open(self) -> None:
        self._pid = os.getpid()
        self._folder.mkdir(parents=True, exist_ok=True)
        while True:
            fd, name = tempfile.mkstemp(prefix=f"{self._pid}-", suffix=_LOCK_SUFFIX, dir=self._folder)
            os.close(fd)
            held = acquire(Path(name), wait=False)
            if held is not None:
                break
        directory = Path(name.removesuffix(_LOCK_SUFFIX))
        directory.mkdir(exist_ok=True)
        self._held, self._directory = held, directory
        weakref.finalize(self, _end, held, directory, self._pid)

    @contextmanager
    def scratch(self, prefix: str) -> Iterator[Path]:
        """A fresh directory (mode 0755), removed at the end.

        It is left in place when a tool failed, as the command that can be pasted to run the tool again
        needs it; the first session that begins after the end of this process removes it.
        """
        with disk_full_guard(self._folder):
            path = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=self.directory()))
            path.chmod(0o755)
        keep = False
        try:
            yield path
        except ToolError:
            keep = True
            raise
        finally:
            if not keep:
                remove_tree(path)

    def temporary(self) -> Path:
        """A name for a new file in the session's directory."""
        with disk_full_guard(self._folder):
            fd, name = tempfile.mkstemp(prefix="new-", dir=self.directory())
        os.close(fd)
        return Path(name)

    def leftovers(self) -> list[Path]:
        """Directories of sessions whose process has ended."""
        paths = []
        for path, held in self._dead():
            paths.append(path)
            held.abandon()
        return paths

    def remove_leftovers(self) -> None:
        for path, held in self._dead():
            try:
                remove_tree(path)
            except BaseException:
                held.abandon()
                raise
            held.release()

    def oldest_beginning(self) -> int | None:
        """When the oldest living session other than this one began (ns since 1970), None when there is none."""
        times = []
        for lock in self._folder.glob(f"*{_LOCK_SUFFIX}"):
            if self._directory is not None and lock.name == self._directory.name + _LOCK_SUFFIX:
                continue
            held = acquire(lock, wait=False)
            if held is not None:
                held.abandon()
                continue
            with suppress(FileNotFoundError):
                times.append(lock.stat().st_mtime_ns)
        return min(times, default=None)

    def _dead(self) -> Iterator[tuple[Path, HeldLock]]:
        for lock in sorted(self._folder.glob(f"*{_LOCK_SUFFIX}")):
            held = acquire(lock, wait=False)
            if held is not None:
                yield lock.with_name(lock.name.removesuffix(_LOCK_SUFFIX)), held


def _end(held: HeldLock, directory: Path, pid: int) -> None:
    """The end of a session: its directory goes, unless a failed tool's scratch is in it."""
    if pid != os.getpid():
        return
    with _undisturbed():
        try:
            directory.rmdir()
        except OSError:
            held.abandon()
        else:
            held.release()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """No request to end the program is heard by this thread meanwhile: what belongs together is there, or is not."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
