# SPDX-License-Identifier: Apache-2.0
"""From a lock to a published snapshot: select, fetch, index, let apt solve it, publish."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from zaffre.component.debfile import built_deb
from zaffre.component.sourcepackage import own_source, source_inputs
from zaffre.definition import Distribution
from zaffre.place.target import Target
from zaffre.progress import Progress
from zaffre.repository.channel import Hand
from zaffre.repository.control import control_of
from zaffre.repository.proof import prove
from zaffre.repository.publish import Published, publish
from zaffre.repository.selection import Selection, select
from zaffre.repository.snapshot import Snapshot, make_snapshot
from zaffre.repository.sources import Sources, gather_sources, locked_sources
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.lock import ArchivedSource, Lock, LockedFile, LockedPackage

_EXTRA = "extra"


@dataclass(frozen=True)
class Order:
    """What to publish: the sets of `images` (all, when none is named) and `extra` package files that no lock names.

    `revision` tells apart what is made from the same lock at different times.
    """

    images: tuple[str, ...] = ()
    extra: tuple[Path, ...] = ()
    revision: int = 1

    def command(self, target: str, channel: str | None, revision: int) -> str:
        """The command line that publishes the same as another revision."""
        images = [word for image in self.images for word in ("--image", image)]
        named = ["--channel", channel] if channel is not None else []
        return shlex.join(["zaffre", "repo", "build", "--to", target, *images, *named, "--revision", str(revision)])


@dataclass(frozen=True)
class Workshop:
    """What it takes to make snapshots. `fetch` and `fetch_files` bring locked packages and files of sources into the
    store.
    """

    distribution: Distribution
    lock: Lock
    store: Store
    sandbox: Sandbox
    fetch: Callable[[Iterable[LockedPackage]], None]
    fetch_files: Callable[[Sequence[LockedFile]], None]
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
        self.bring(selection, given={one.package.sha256 for one in extra})
        while True:
            snapshot = self._indexed(selection, order)
            spare = prove(snapshot, selection, store=self.store, sandbox=self.sandbox, progress=self.progress)
            if not spare:
                return snapshot
            for one in spare:
                self.progress.note(f"{one.name} is left out: no image asks for it, nor for what it needs")
            selection = selection.without(spare)

    def bring(self, selection: Selection, *, given: Collection[str] = ()) -> None:
        """After this, the store has what a snapshot is made of: packages, but those that are `given`, and sources."""
        self.fetch([one for one in selection.packages if one.sha256 not in given])
        if self.distribution.gives_sources:
            files = [file for one, _ in self._locked_sources(selection) for file in one.files]
            files += [file for part in selection.components for file in source_inputs(self.distribution, part)]
            self.fetch_files(files)

    def _locked_sources(self, selection: Selection) -> list[tuple[ArchivedSource, bool]]:
        return locked_sources(self.lock, selection, lambda one: control_of(one, self.store))

    def _sources(self, selection: Selection) -> Sources | None:
        if not self.distribution.gives_sources:
            return None
        with self.progress.step("source packages") as remark:
            found = gather_sources(
                self._locked_sources(selection),
                selection.components,
                lambda part: own_source(self.distribution, part, store=self.store, sandbox=self.sandbox),
            )
            remark(str(len(found.all)))
        for name in found.without:
            self.progress.note(f"the source of component {name} is no Debian source package, so it is not there")
        return found

    def _indexed(self, selection: Selection, order: Order) -> Snapshot:
        sources = self._sources(selection)
        with self.progress.step(f"index {len(selection.packages)} packages"):
            return make_snapshot(
                self.distribution,
                selection,
                created=self.lock.created,
                store=self.store,
                sandbox=self.sandbox,
                sources=sources,
                revision=order.revision,
            )

    def publish(
        self, order: Order, target: Target, hand: Hand, *, channel: str | None = None, dry_run: bool = False
    ) -> Published:
        """Make a snapshot, publish it, and point a channel (the first one, if none is named) at it."""
        where = self.distribution.channel(channel)
        snapshot = self.snapshot(order)
        return publish(
            snapshot,
            where,
            target,
            hand,
            store=self.store,
            progress=self.progress,
            dry_run=dry_run,
            again=lambda revision: order.command(target.shown, channel, revision),
        )
