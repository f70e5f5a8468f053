# SPDX-License-Identifier: Apache-2.0
"""What every step of a build has at hand, and the record of what each cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from zaffre.digest import Sha256, source_digest
from zaffre.image.uki import SigningKeys
from zaffre.manifest import Step
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Action, ActionResult, Performed, Stopwatch, Store


@dataclass
class StepLog:
    """The steps of one build, in order, as its report tells them."""

    steps: list[Step] = field(default_factory=list)

    def add(self, title: str, performed: Performed, size: int, reason: str) -> None:
        self.steps.append(
            Step(
                name=title,
                wall_seconds=round(performed.wall_seconds, 3),
                cpu_seconds=round(performed.cpu_seconds, 3),
                bytes=size,
                cached=performed.cached,
                reason="; ".join(performed.why) or reason,
            )
        )


@dataclass(frozen=True)
class Workshop:
    """The tools of a build, passed to each of its steps. `epoch` is SOURCE_DATE_EPOCH, in seconds."""

    store: Store
    sandbox: Sandbox
    keys: SigningKeys
    progress: Progress
    log: StepLog
    architecture: str
    epoch: int
    use_cache: bool = True

    def perform(self, title: str, action: Action, produce: Callable[[Path], ActionResult]) -> ActionResult:
        """Run a cached step, with its line on the screen and in the report."""
        with self.progress.step(title) as remark:
            performed = self.store.perform(action, produce, use_cache=self.use_cache)
            self.record(title, performed, remark, reason=action.reason)
        return performed.result

    def record(self, title: str, performed: Performed, remark: Callable[[str], None], *, reason: str) -> None:
        size = sum(self.store.path(digest).stat().st_size for digest in performed.result.outputs.values())
        self.log.add(title, performed, size, reason)
        remark("cached" if performed.cached else f"{size / 1e6:.1f} MB")

    def timed(self, title: str, reason: str, work: Callable[[], int]) -> None:
        """Run a step that is too cheap to be cached; `work` returns the bytes that it wrote."""
        watch = Stopwatch()
        with self.progress.step(title) as remark:
            size = work()
            remark(f"{size / 1e6:.1f} MB")
        done = Performed(ActionResult({}, {}), cached=False, wall_seconds=watch.wall, cpu_seconds=watch.cpu)
        self.log.add(title, done, size, reason)


@cache
def code_digest() -> Sha256:
    """Digest of our own source: a result made by other code is another result, whatever the version number says."""
    return source_digest("definition", "image", "sandbox", "tree", "upstream")
