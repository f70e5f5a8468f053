# SPDX-License-Identifier: Apache-2.0
"""What lies in a store, which of it may go, and the removal.

`choose` is pure: it takes what lies there and the limits, and says what goes and why. Collection is safe
beside running builds: it keeps what was used since the oldest living session began, trees that are held,
and looks at the time of last use again, under the lock that excludes users, before it takes anything away.

It is quick beside them too. Getting that lock means waiting until all who hold it are done, so it is taken for many
things at once, and held only while they are renamed out of the way; the disk frees their room afterwards.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from zaffre.store.action import ActionKey
from zaffre.store.files import allocated_size
from zaffre.store.layout import Layout
from zaffre.store.session import Sessions
from zaffre.store.trees import Trees, tree_size

_NS_A_DAY = 86_400 * 10**9
_BATCH = 1000
"""Things that are taken away under one lock: about 20 ms."""


class Kind(StrEnum):
    BLOB = "blob"
    ACTION = "action"
    TREE = "tree"
    PARTIAL = "partial download"
    HISTORY = "history"
    LEFTOVER = "leftover of a process that ended"


@dataclass(frozen=True)
class Entry:
    """One thing in the store. `size` in bytes on disk, `used` in ns since 1970, `name` a digest, key or file name."""

    kind: Kind
    name: str
    path: Path
    size: int
    used: int


@dataclass(frozen=True)
class Removal:
    entry: Entry
    reason: str


@dataclass(frozen=True)
class StoreSize:
    """Counts, and bytes on disk (holes are free)."""

    root: Path
    blobs: int
    blob_bytes: int
    trees: int
    tree_bytes: int
    actions: int
    partial_bytes: int
    leftover_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class GcReport:
    """What went (or would go: `dry_run`), why, and how many bytes on disk that frees.

    `in_use` counts what stays since somebody uses it, or has since `protected_since` (ns since 1970): when the oldest
    command began that is still running.
    """

    dry_run: bool
    removed: tuple[Removal, ...]
    freed_bytes: int
    kept_bytes: int
    in_use: int
    protected_since: int | None


def entries(layout: Layout) -> Iterator[Entry]:
    """Everything but the running sessions' own directories; things that vanish meanwhile are left out."""
    for kind, folder in ((Kind.BLOB, "blobs"), (Kind.ACTION, "actions")):
        for part in _listed(layout.root / folder):
            yield from _files(kind, Path(part.path))
    yield from _files(Kind.PARTIAL, layout.partial)
    yield from _files(Kind.HISTORY, layout.root / "history")
    for tree in _listed(layout.root / "trees"):
        path = Path(tree.path)
        with suppress(FileNotFoundError):
            yield Entry(Kind.TREE, tree.name, path, tree_size(path), tree.stat().st_mtime_ns)


def _files(kind: Kind, folder: Path) -> Iterator[Entry]:
    for one in _listed(folder):
        with suppress(FileNotFoundError):
            status = one.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                name = one.name.removesuffix(".json")
                yield Entry(kind, name, Path(one.path), status.st_blocks * 512, status.st_mtime_ns)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda one: one.name)
    except (FileNotFoundError, NotADirectoryError):
        return []


def choose(
    found: Sequence[Entry], *, now: int, protected_since: int | None, max_age_days: float | None, max_bytes: int | None
) -> list[Removal]:
    """What goes: first what was not used for longer than the age, then the least recently used down to the size.

    Nothing used since `protected_since` goes. With neither limit, only quarantined bytes go.
    """
    removals: list[Removal] = []
    kept: list[Entry] = []
    for entry in found:
        if protected_since is not None and entry.used >= protected_since:
            kept.append(entry)
        elif entry.path.name.endswith(".corrupt"):
            removals.append(Removal(entry, "corrupted"))
        elif max_age_days is not None and now - entry.used >= max_age_days * _NS_A_DAY:
            removals.append(Removal(entry, f"not used for {(now - entry.used) / _NS_A_DAY:.1f} days"))
        else:
            kept.append(entry)
    if max_bytes is not None:
        total = sum(entry.size for entry in kept)
        for entry in sorted(kept, key=lambda entry: (entry.used, entry.name)):
            if total <= max_bytes:
                break
            if protected_since is None or entry.used < protected_since:
                removals.append(Removal(entry, f"the store is larger than {max_bytes} bytes"))
                total -= entry.size
    return removals


class Collector:
    def __init__(self, layout: Layout, sessions: Sessions, trees: Trees) -> None:
        self._layout = layout
        self._sessions = sessions
        self._trees = trees

    def size(self) -> StoreSize:
        found = list(entries(self._layout))
        left = sum(allocated_size(path) for path in self._sessions.leftovers() if path.exists())
        size = {kind: sum(entry.size for entry in found if entry.kind is kind) for kind in Kind}
        count = {kind: sum(1 for entry in found if entry.kind is kind) for kind in Kind}
        return StoreSize(
            root=self._layout.root,
            blobs=count[Kind.BLOB],
            blob_bytes=size[Kind.BLOB],
            trees=count[Kind.TREE],
            tree_bytes=size[Kind.TREE],
            actions=count[Kind.ACTION],
            partial_bytes=size[Kind.PARTIAL],
            leftover_bytes=left,
            total_bytes=sum(size.values()) + left,
        )

    def collect(self, *, max_age_days: float | None, max_bytes: int | None, dry_run: bool) -> GcReport:
        removed = [
            Removal(Entry(Kind.LEFTOVER, path.name, path, allocated_size(path), 0), "its process has ended")
            for path in self._sessions.leftovers()
            if path.exists()
        ]
        if not dry_run:
            self._sessions.directory()
            self._sessions.remove_leftovers()
        found = list(entries(self._layout))
        since = self._sessions.oldest_beginning()
        chosen = choose(
            found, now=time.time_ns(), protected_since=since, max_age_days=max_age_days, max_bytes=max_bytes
        )
        in_use = sum(1 for entry in found if since is not None and entry.used >= since)
        idle = [one for one in chosen if one.entry.kind is not Kind.TREE or not self._held(one.entry)]
        in_use += len(chosen) - len(idle)
        removed += idle if dry_run else self._remove(idle)
        freed = sum(removal.entry.size for removal in removed)
        total = sum(entry.size for entry in found)
        gone = sum(removal.entry.size for removal in removed if removal.entry.kind is not Kind.LEFTOVER)
        return GcReport(
            dry_run=dry_run,
            removed=tuple(removed),
            freed_bytes=freed,
            kept_bytes=total - gone,
            in_use=in_use,
            protected_since=since,
        )

    def _held(self, tree: Entry) -> bool:
        return self._trees.in_use(ActionKey(tree.name))

    def _remove(self, chosen: Sequence[Removal]) -> Iterator[Removal]:
        """Those that were removed: none that was used after it was chosen."""
        for start in range(0, len(chosen), _BATCH):
            with self._sessions.scratch("doomed") as scratch:
                with self._layout.collecting():
                    taken = [
                        removal
                        for number, removal in enumerate(chosen[start : start + _BATCH])
                        if self._take(removal.entry, scratch / str(number))
                    ]
                yield from taken

    def _take(self, entry: Entry, doomed: Path) -> bool:
        """Rename it out of the way; false when it was used after it was chosen. Call while collecting."""
        try:
            if entry.path.lstat().st_mtime_ns != entry.used:
                return False
        except FileNotFoundError:
            return False
        if entry.kind is Kind.TREE:
            return self._trees.take_out(ActionKey(entry.name), doomed)
        entry.path.replace(doomed)
        return True
