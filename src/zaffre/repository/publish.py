# SPDX-License-Identifier: Apache-2.0
"""Publishing: what is new goes up first, what makes it visible last.

The order is packages, the snapshot's indexes, its InRelease, the channel's indexes by their hashes, the channel's
InRelease. Nothing that is visible refers to what is not there yet, so a run that ends anywhere leaves the channel as it
was; the next one finds what has arrived and goes on. A snapshot that is published is never written again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from zaffre.errors import FindingError
from zaffre.place.target import Publishing, Target
from zaffre.progress import Progress
from zaffre.repository.channel import Hand, Moved, move_channel
from zaffre.repository.layout import INRELEASE, below, snapshot_key
from zaffre.repository.snapshot import Snapshot
from zaffre.repository.state import Suite, read_suite, require_repository, require_snapshot, snapshot_names
from zaffre.store import Store
from zaffre.upstream.deb.release import FileFact
from zaffre.upstream.pool import POOL

_UPLOADS = 8

Again = Callable[[int], str]
"""The command line that publishes what could not be published, as another revision."""


@dataclass(frozen=True)
class Published:
    """What was written, and what was there already. `moved` is None when nothing was done (`dry_run`).

    `fresh`: whether the snapshot is new. `packages` and `sources` (source packages) are what it has; `pool_files` and
    `kept_files` their files. Bytes of indexes are those of the snapshot, the channel's are in `moved`.
    """

    snapshot: str
    fresh: bool
    packages: int
    sources: int
    pool_files: int
    pool_bytes: int
    kept_files: int
    kept_bytes: int
    index_files: int
    index_bytes: int
    moved: Moved | None

    @property
    def files(self) -> int:
        return self.pool_files + self.index_files + (self.moved.files if self.moved else 0)

    @property
    def bytes(self) -> int:
        return self.pool_bytes + self.index_bytes + (self.moved.bytes if self.moved else 0)


def publish(
    snapshot: Snapshot,
    channel: str,
    target: Target,
    hand: Hand,
    *,
    store: Store,
    progress: Progress,
    dry_run: bool,
    again: Again = "zaffre repo build --revision {}".format,
) -> Published:
    """Publish a snapshot, and point a channel at it. The packages' files are in the store.

    Raises FindingError when the snapshot's name is taken by another content, and when the channel is at a newer one,
    with the command that `again` gives for a revision that can be published; WorldError when another is publishing,
    and when the target fails.
    """
    if dry_run:
        plan = _plan(snapshot, channel, target, hand, again)
        return _published(snapshot, plan, None)
    with target.publishing() as held:
        plan = _plan(snapshot, channel, target, hand, again)
        _upload(plan.missing, target, store, progress)
        if plan.fresh:
            held.check()
            _write_snapshot(snapshot, plan, target, held, store)
        source = require_snapshot(target, snapshot.name, hand.keyring, now=hand.now)
        moved = move_channel(target, held, hand, channel, source, before=plan.before)
    return _published(snapshot, plan, moved)


def promote(target: Target, hand: Hand, channel: str, snapshot: str) -> Moved:
    """Point a channel at a published snapshot, an older one too. Raises DefinitionError for one that isn't there."""
    require_repository(target)
    with target.publishing() as held:
        source = require_snapshot(target, snapshot, hand.keyring, now=hand.now)
        before = read_suite(target, channel, hand.keyring, now=hand.now)
        return move_channel(target, held, hand, channel, source, before=before)


def refresh(target: Target, hand: Hand, channels: Sequence[str]) -> list[Moved]:
    """Sign channels anew where they are, so that they are good for longer; those that are not there are left out."""
    moved = []
    require_repository(target)
    with target.publishing() as held:
        for channel in channels:
            before = read_suite(target, channel, hand.keyring, now=hand.now)
            if before is not None:
                source = require_snapshot(target, before.snapshot, hand.keyring, now=hand.now)
                moved.append(move_channel(target, held, hand, channel, source, before=before))
    return moved


@dataclass(frozen=True)
class _Plan:
    message: bytes
    fresh: bool
    missing: Mapping[str, FileFact]
    before: Suite | None


def _plan(snapshot: Snapshot, channel: str, target: Target, hand: Hand, again: Again) -> _Plan:
    before = read_suite(target, channel, hand.keyring, now=hand.now)
    if before is not None and snapshot_key(before.snapshot) > snapshot_key(snapshot.name):
        raise _newer(snapshot, channel, before, target, again)
    known = read_suite(target, snapshot.suite, hand.keyring, now=hand.now)
    if known is not None and known.release.text.rstrip() != snapshot.release.rstrip():
        raise _taken(snapshot, target, again)
    sizes = target.sizes(POOL)
    return _Plan(
        message=hand.sign(snapshot.release, time=snapshot.created, where=snapshot.suite),
        fresh=known is None,
        missing={path: one for path, one in snapshot.pool.items() if sizes.get(path) != one.size},
        before=before,
    )


def _newer(snapshot: Snapshot, channel: str, before: Suite, target: Target, again: Again) -> FindingError:
    created, revision = snapshot_key(before.snapshot)
    where = f"{target.shown}: snapshot {snapshot.name}"
    if created == snapshot_key(snapshot.name)[0]:
        return FindingError(
            f"the channel '{channel}' is at a later revision of the same lock: {before.snapshot}",
            where=where,
            resolution=f"run `{again(revision)}`, which writes nothing new if nothing has changed since",
        )
    return FindingError(
        f"the channel '{channel}' is at a newer snapshot: {before.snapshot}",
        where=where,
        resolution=f"run `zaffre lock --update` for a newer lock; `zaffre repo promote {target.shown} {channel} "
        f"--snapshot NAME` takes a channel back to an older snapshot",
    )


def _taken(snapshot: Snapshot, target: Target, again: Again) -> FindingError:
    created, _ = snapshot_key(snapshot.name)
    revisions = [revision for time, revision in map(snapshot_key, snapshot_names(target)) if time == created]
    return FindingError(
        f"the snapshot {snapshot.name} is published already, with other contents",
        where=target.shown,
        details="a snapshot never changes; the lock is the same, but not the images, the packages of your own, or "
        "what [repository] says",
        resolution=f"run `{again(max(revisions) + 1)}`, or `zaffre lock --update` for a snapshot of a new time",
    )


def _upload(missing: Mapping[str, FileFact], target: Target, store: Store, progress: Progress) -> None:
    with (
        progress.transfer(f"{len(missing)} files", sum(one.size for one in missing.values())) as advance,
        ThreadPoolExecutor(_UPLOADS) as pool,
    ):

        def one(path: str) -> None:
            target.put_file(path, store.path(missing[path].sha256))
            advance(missing[path].size)

        try:
            list(pool.map(one, missing))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_snapshot(snapshot: Snapshot, plan: _Plan, target: Target, held: Publishing, store: Store) -> None:
    for index in snapshot.indexes:
        target.put(below(snapshot.suite, index.packed_path), store.path(index.packed.sha256).read_bytes())
    held.check()
    target.put(below(snapshot.suite, INRELEASE), plan.message)


def _published(snapshot: Snapshot, plan: _Plan, moved: Moved | None) -> Published:
    kept = {path: one for path, one in snapshot.pool.items() if path not in plan.missing}
    return Published(
        snapshot=snapshot.name,
        fresh=plan.fresh,
        packages=len(snapshot.packages),
        sources=len(snapshot.sources),
        pool_files=len(plan.missing),
        pool_bytes=sum(one.size for one in plan.missing.values()),
        kept_files=len(kept),
        kept_bytes=sum(one.size for one in kept.values()),
        index_files=len(snapshot.indexes) + 1 if plan.fresh else 0,
        index_bytes=sum(index.packed.size for index in snapshot.indexes) + len(plan.message) if plan.fresh else 0,
        moved=moved,
    )
