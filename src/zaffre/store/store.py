# SPDX-License-Identifier: Apache-2.0
"""The content-addressed store: blobs, results of actions, trees. One directory, shared by all builds of a user.

What survives what. *kill -9 at any moment*: everything; a thing appears under its final name complete or
not at all, locks fall with their holder, and scratch files of the dead are removed by the next to come.
*A full disk*: DiskFullError, with the half-written file removed. *Loss of power*: nothing is synced, for
speed (a build can be done again), and the order of writes is not promised; a blob may then lack content,
which `verified` and `verify` find, and a damaged record is no record. *Concurrent use*: any number of
processes and threads; equal actions are done once. Garbage collection may run beside builds.

Ownership: files belong to whom the building process is. An ordinary user's store is used from within
the user namespace (see `zaffre.sandbox.become_root_in_namespace`).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from platformdirs import user_cache_path

from zaffre.digest import JSON, Sha256
from zaffre.errors import WorldError
from zaffre.store.action import Action, ActionKey, ActionResult, Performed, explain_difference
from zaffre.store.blobs import Blobs
from zaffre.store.check import Checker, VerifyReport
from zaffre.store.collect import Collector, GcReport, StoreSize
from zaffre.store.errors import disk_full_guard
from zaffre.store.layout import Layout, mark_used
from zaffre.store.locks import acquire, lock_file_name
from zaffre.store.records import Records
from zaffre.store.room import room_at, size_to_keep, wanted_free
from zaffre.store.session import Sessions
from zaffre.store.stopwatch import Stopwatch
from zaffre.store.trees import Trees


class Store:
    """A store in a directory, which is made when absent. Safe to share between threads; can be pickled.

    `on_wait` is told, in words, when this process waits for another that holds a lock.
    """

    def __init__(self, root: Path, *, on_wait: Callable[[str], None] | None = None) -> None:
        self.root = root.absolute()
        self._on_wait = on_wait
        self._layout = Layout(self.root)
        try:
            with disk_full_guard(self.root):
                self._layout.make()
        except OSError as error:
            raise WorldError(
                f"the store cannot be made: {error.strerror}",
                where=str(error.filename),
                resolution="choose a directory that you may write to by the environment variable ZAFFRE_STORE",
            ) from error
        self._sessions = Sessions(self._layout.tmp)
        self._blobs = Blobs(self._layout, self._sessions)
        self._records = Records(self._layout, self._sessions)
        self._trees = Trees(self._layout, self._sessions)
        self._collector = Collector(self._layout, self._sessions, self._trees)

    def __reduce__(self) -> tuple[type[Store], tuple[Path]]:
        return Store, (self.root,)

    @staticmethod
    def default_root() -> Path:
        """`$ZAFFRE_STORE`, or `zaffre` in the user's cache directory (XDG)."""
        chosen = os.environ.get("ZAFFRE_STORE")
        return Path(chosen) if chosen else user_cache_path("zaffre")

    # Blobs

    def has(self, digest: Sha256) -> bool:
        return self._blobs.has(digest)

    def absent(self, digests: Iterable[Sha256]) -> frozenset[Sha256]:
        """Those that are not there; asked at once, as each question alone waits for the collection."""
        return self._blobs.absent(digests)

    def path(self, digest: Sha256) -> Path:
        """A present blob's file: read-only, not to be changed, not hashed again. MissingBlobError when absent."""
        return self._blobs.path(digest)

    def verified(self, digest: Sha256) -> Path:
        """Like `path`, but hashed again; a corrupted blob is put aside and CorruptBlobError raised."""
        return self._blobs.verified(digest)

    def add_bytes(self, data: bytes) -> Sha256:
        return self._blobs.add_bytes(data)

    def add_file(self, path: Path, *, expected: Sha256 | None = None, move: bool = False) -> Sha256:
        """Copies (or moves) a file into the store, holes kept. IntegrityError when it isn't the expected one.

        Moving costs one reading for the digest when the file is on the store's file system, as it is below
        `scratch`. After a failure the file may be gone when `move` was asked for.
        """
        return self._blobs.add_file(path, expected=expected, move=move)

    def partial(self, digest: Sha256) -> Path:
        """Where a download of that blob is written, and found again to be resumed.

        Hold `lock(f"fetch-{digest}")` from before looking at the file until after `adopt`.
        """
        path = self._layout.partial / digest
        self._sessions.directory()
        with self._layout.using():
            mark_used(path)
        return path

    def adopt(self, digest: Sha256) -> Path:
        """Makes a blob of the finished `partial` file. One with another digest is deleted: IntegrityError."""
        return self._blobs.adopt(digest)

    # Actions

    def lookup(self, key: ActionKey) -> ActionResult | None:
        """The recorded result, when all of its outputs are present."""
        result = self._records.read(key)
        if result is None or self._blobs.absent(result.outputs.values()):
            return None
        return result

    def record(self, key: ActionKey, action: Action, result: ActionResult) -> None:
        """Outputs must be in the store: MissingBlobError otherwise."""
        for digest in result.outputs.values():
            self._blobs.path(digest)
        self._records.write(key, action, result)

    def perform(self, action: Action, produce: Callable[[Path], ActionResult], *, use_cache: bool = True) -> Performed:
        """The result of an action, from the store or by `produce`, which gets a scratch directory of its own.

        Of several processes that perform the same action at once, one does the work and the others wait.
        `produce` adds its outputs to the store. A full disk within it becomes DiskFullError. When a tool
        fails, the scratch directory stays until the next process uses the store (see `scratch`).
        """
        watch = Stopwatch()
        key = action.key
        result = self.lookup(key) if use_cache else None
        if result is not None:
            return self._known(action, result, watch)
        with self._lock(f"action-{key}", action.label):
            result = self.lookup(key) if use_cache else None
            if result is not None:
                return self._known(action, result, watch)
            why = tuple(explain_difference(self.recall(action.label), action.inputs)) if use_cache else ()
            with self.scratch(action.kind) as scratch, disk_full_guard(scratch):
                result = produce(scratch)
                self.record(key, action, result)
            self.remember(action.label, action.inputs)
        return Performed(result, cached=False, wall_seconds=watch.wall, cpu_seconds=watch.cpu, why=why)

    def _known(self, action: Action, result: ActionResult, watch: Stopwatch) -> Performed:
        if self.recall(action.label) != action.inputs:
            self.remember(action.label, action.inputs)
        return Performed(result, cached=True, wall_seconds=watch.wall, cpu_seconds=watch.cpu)

    def remember(self, label: str, inputs: Mapping[str, JSON]) -> None:
        """Keeps the inputs that a label had last; `perform` does it for its actions."""
        self._records.remember(label, inputs)

    def recall(self, label: str) -> Mapping[str, JSON] | None:
        return self._records.recall(label)

    # Trees

    def tree(self, key: ActionKey) -> AbstractContextManager[Path] | None:
        """A finished tree, which garbage collection leaves alone until the `with` block ends; None when absent."""
        return self._trees.hold(key)

    def add_tree(self, key: ActionKey, produce: Callable[[Path], None]) -> None:
        """Makes a tree by filling an empty directory, and moves it into place whole. Does nothing when it exists."""
        self._trees.add(key, produce, self._waiting(f"the tree {key[:12]}"))

    # Locks and scratch

    def lock(self, name: str) -> AbstractContextManager[None]:
        """An exclusive lock between processes and threads; not re-entrant; released by any end of its holder."""
        return self._lock(name, name)

    def scratch(self, prefix: str) -> AbstractContextManager[Path]:
        """A fresh directory on the store's file system, removed at the end of the block, whatever its modes.

        It is left when a tool failed in it, so that the tool's command line can be pasted and run again;
        what was left, by that or by kill -9, is removed when the next process begins to use the store.
        """
        return self._sessions.scratch(prefix)

    def _lock(self, name: str, title: str) -> AbstractContextManager[None]:
        self._sessions.directory()
        held = acquire(self._layout.lock(f"n-{lock_file_name(name)}"), on_wait=self._waiting(title))
        if held is None:
            raise AssertionError
        return held

    def _waiting(self, title: str) -> Callable[[], None] | None:
        tell = self._on_wait
        return None if tell is None else lambda: tell(f"waiting for another build that works on {title}")

    # Upkeep

    def size(self) -> StoreSize:
        return self._collector.size()

    def gc(self, *, max_age_days: float | None, max_bytes: int | None, dry_run: bool) -> GcReport:
        """Removes what has not been used for that long, then the least recently used down to that size.

        Safe beside builds of other processes. Leftovers of processes that ended and quarantined blobs always go.
        """
        return self._collector.collect(max_age_days=max_age_days, max_bytes=max_bytes, dry_run=dry_run)

    def make_room(self, wanted: int | None = None) -> GcReport | None:
        """Removes the least recently used when less than `wanted` bytes of the file system are free; None if not.

        None as `wanted` stands for the default (see `zaffre.store.room`). Asking costs next to nothing.
        """
        room = room_at(self.root)
        enough = wanted_free(room) if wanted is None else wanted
        if room.free >= enough:
            return None
        keep = size_to_keep(self.size().total_bytes, room, enough)
        return self.gc(max_age_days=None, max_bytes=keep, dry_run=False)

    def verify(self, *, repair: bool) -> VerifyReport:
        """Hashes everything again. With `repair`, what does not hold is taken out of use, so it is made anew."""
        return Checker(self._layout, self._sessions, self._blobs, self._trees).verify(repair=repair)
