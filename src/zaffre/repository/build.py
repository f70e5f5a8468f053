# SPDX-License-Identifier: Apache-2.0
"""From a lock to a published snapshot: select, fetch, index, let apt solve it, publish."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from zaffre.component.debfile import built_deb
from zaffre.definition import Distribution
from zaffre.progress import Progress
from zaffre.repository.channel import Hand
from zaffre.repository.proof import prove
from zaffre.repository.publish import Published, publish
from zaffre.repository.selection import Selection, select
from zaffre.repository.snapshot import Snapshot, make_snapshot
from zaffre.repository.target import Target
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.lock import Lock, LockedPackage

_EXTRA = "extra"


@dataclass(frozen=True)
class Order:
    """What to publish: the sets of `images` (all, when none is named) and `extra` package files that no lock names.

    `revision` tells apart what is made from the same lock at different times.
    """

    images: tuple[str, ...] = ()
    extra: tuple[Path, ...] = ()
    revision: int = 1


@dataclass(frozen=True)
class Workshop:
    """What it takes to make snapshots. `fetch` brings locked packages into the store."""

    distribution: Distribution
    lock: Lock
    store: Store
    sandbox: Sandbox
    fetch: Callable[[Iterable[LockedPackage]], None]
    progress: Progress

    def snapshot(self, order: Order) -> Snapshot:
        """A snapshot that apt has found to lack nothing.

        Raises FindingError for one that does, DefinitionError for an image that can't be in it, and what fetching
        raises.
        """
        extra = [built_deb(_EXTRA, file, store=self.store, sandbox=self.sandbox) for file in order.extra]
        selection = select(self.distribution, self.lock, order.images, extra)
        for name in selection.left_out:
            self.progress.note(f"{name} is made of RPM packages, so it is not in the repository")
        given = {one.package.sha256 for one in extra}
        self.fetch([one for one in selection.packages if one.sha256 not in given])
        while True:
            snapshot = self._indexed(selection, order)
            spare = prove(snapshot, selection, store=self.store, sandbox=self.sandbox, progress=self.progress)
            if not spare:
                return snapshot
            for one in spare:
                self.progress.note(f"{one.name} is left out: no image asks for it, nor for what it needs")
            selection = selection.without(spare)

    def _indexed(self, selection: Selection, order: Order) -> Snapshot:
        with self.progress.step(f"index {len(selection.packages)} packages"):
            return make_snapshot(
                self.distribution,
                selection,
                created=self.lock.created,
                store=self.store,
                sandbox=self.sandbox,
                revision=order.revision,
            )

    def publish(
        self, order: Order, target: Target, hand: Hand, *, channel: str | None = None, dry_run: bool = False
    ) -> Published:
        """Make a snapshot, publish it, and point a channel (the first one, if none is named) at it."""
        where = self.distribution.channel(channel)
        snapshot = self.snapshot(order)
        return publish(snapshot, where, target, hand, store=self.store, progress=self.progress, dry_run=dry_run)
