# SPDX-License-Identifier: Apache-2.0
"""Which stock system to compare a subject with, and the archive's state to solve it from."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass

from zaffre.advisory.stock import CONTAINER_HOST, SERVER, stock_subject
from zaffre.advisory.subject import Subject
from zaffre.definition import DebUpstream, Distribution
from zaffre.errors import DefinitionError
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream.deb.refresh import refresh
from zaffre.upstream.mirrors import Mirrors


@dataclass(frozen=True)
class Peers:
    """What it takes to make a stock system's set of packages. `sandbox` has a solver."""

    distribution: Distribution
    mirrors: Mirrors
    store: Store
    sandbox: Callable[[], Sandbox]
    progress: Progress

    def stock(self, subject: Subject, *, now: dt.datetime) -> Subject:
        """The peer of a subject: a container host's if it has containerd, else a server's.

        Raises DefinitionError for what is derived from no Debian upstream, and what locking raises for mirrors.
        """
        upstream = self.distribution.upstreams.get(subject.platform.upstream or "")
        if not isinstance(upstream, DebUpstream):
            raise DefinitionError(
                f"there is no stock system of {subject.platform.title} to compare with",
                where="--compare stock",
                resolution="compare what is derived from a Debian upstream of the definition",
            )
        indexes = refresh(
            upstream,
            self.mirrors,
            self.store,
            architectures=[subject.architecture],
            now=now,
            progress=self.progress,
        )
        task = CONTAINER_HOST if any(one.source == "containerd" for one in subject.packages) else SERVER
        with self.progress.step(f"solve a stock {task} for {subject.architecture}") as remark:
            peer = stock_subject(
                upstream, indexes, subject.architecture, task, sandbox=self.sandbox(), store=self.store
            )
            remark(f"{len(peer.packages)} packages")
        return peer
