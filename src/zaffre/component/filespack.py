# SPDX-License-Identifier: Apache-2.0
"""`files`: a tree of our own becomes packages, without a build."""

from __future__ import annotations

from pathlib import Path

from zaffre.component.model import Bench, Choice, Made, Order
from zaffre.component.ownpackage import Origin, pack_own
from zaffre.definition.component import FilesSource
from zaffre.upstream.lock import LockedSource
from zaffre.upstream.world import Chosen


class FilesPack:
    """The component's folder is the source; its time is that at which it was locked as it is."""

    def __init__(self, source: FilesSource) -> None:
        self._source = source

    def choose(self, bench: Bench, choice: Choice) -> Chosen:
        name = bench.component.name
        return Chosen(
            source=LockedSource(name=name, version=self._source.version, epoch=int(choice.now.timestamp())),
            gives=tuple(sorted(package.name for package in bench.component.packages)),
        )

    def fetch(self, bench: Bench, source: LockedSource) -> None:
        """The definition itself is the source."""

    def make(self, bench: Bench, order: Order, scratch: Path) -> Made:
        source = order.locked.source
        origin = Origin(
            folder=bench.folder / self._source.tree,
            source=source.name,
            version=source.version,
            epoch=source.epoch or 0,
            programs={},
        )
        return Made(pack_own(bench, origin, scratch))
