# SPDX-License-Identifier: Apache-2.0
"""What `zaffre patch` works with: the parts of this program that lock, build, check, scan, sign and publish."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from zaffre.cli.checking import CheckOrder, build_for, check_build
from zaffre.cli.context import Workspace
from zaffre.cli.making import Making
from zaffre.errors import FindingError

if TYPE_CHECKING:
    from zaffre.advisory.report import Report
    from zaffre.advisory.subject import Subject
    from zaffre.definition import Distribution
    from zaffre.image import Build
    from zaffre.machine.report import CheckReport
    from zaffre.upstream import Lock
    from zaffre.upstream.locking import Locking


@dataclass(frozen=True)
class Publishing:
    """Where releases go, and by whose keys."""

    target: str
    channel: str | None
    waves: str
    signers: Sequence[Path] | None
    root: Path | None
    passphrase: Path | None
    pending: Path

    def require(self, work: Workspace) -> None:
        """Raise DefinitionError at once for what would fail after all the work: no such schedule, no root of trust."""
        from zaffre.cli.releasedesk import read_root

        work.distribution.waves(self.waves)
        read_root(work, self.signers, self.root)


@dataclass
class PatchBench:
    """See `zaffre.patching.Bench`."""

    work: Workspace
    architecture: str
    profile: str
    out: Path
    feeds: Sequence[str] = ()
    memory: int = 1024
    cpus: int = 2
    seconds: float = 600.0
    publishing: Publishing | None = None
    _makings: dict[str, Making] = field(default_factory=dict)

    @property
    def distribution(self) -> Distribution:
        return self.work.distribution

    @cached_property
    def lock(self) -> Lock:
        return Making(self.work).lock

    @property
    def now(self) -> dt.datetime:
        return self.work.now

    def subjects(self, lock: Lock) -> Sequence[Subject]:
        from zaffre.advisory.subjects.locked import lock_subjects

        return lock_subjects(lock, self.distribution, title=f"lock {lock.version}")

    def scan(self, subjects: Sequence[Subject], *, title: str, ask: bool = False) -> Report:
        from zaffre.advisory.scan import scan
        from zaffre.cli.feeds import known

        with self.work.progress.step(title) as remark:
            heard = known(
                self.work,
                subjects,
                given=self.feeds,
                offline=False,
                update=ask,
                max_age_days=None,
                statements=True,
            )
            # A statement that needs nothing any more is told of, and is no reason not to mend the rest.
            report = scan(subjects, heard, now=self.now, require_used=False)
            remark(f"{len(report.findings)} findings")
        return report

    def solve(self, packages: Sequence[str], images: Sequence[str] | None) -> Locking:
        from zaffre.upstream.locking import lock_distribution
        from zaffre.upstream.requests import check_lock

        making = Making(self.work)
        done = lock_distribution(
            self.distribution, self.lock, making.world, now=self.now, images=images, update=packages
        )
        if stale := check_lock(self.distribution, done.lock, tools_architecture=making.tools_architecture):
            raise FindingError(
                "these images cannot be patched alone: the lock would not answer the definition any more",
                where=str(self.distribution.lock_file),
                details="\n".join(str(one) for one in stale),
                resolution="run it without names of images, which moves them all together",
            )
        return done

    def build(self, image: str, lock: Lock) -> Build:
        return build_for(self._making(lock), self._order(image))

    def check(self, image: str, built: Build, lock: Lock) -> CheckReport | None:
        kind = self.distribution.image(image).kind
        if not kind.boots and kind != "container":
            return None
        return check_build(self._making(lock), self._order(image), built)

    def built_subject(self, built: Build) -> Subject:
        from zaffre.advisory.subjects.build import build_subject

        return build_subject(built.folder, self.distribution)

    def sign(self, data: bytes) -> bytes:
        return self.work.keys.release_signer().sign_bytes(data)

    def make_release(self, built: Build, notes: str) -> Path:
        from zaffre.cli.releasedesk import seal_of
        from zaffre.offer.record import MAX_NOTES
        from zaffre.release.candidate import create, write_candidate

        made = create(
            built.folder,
            self.work.certificates,
            seal=seal_of(self.work),
            floor=None,
            notes=notes[:MAX_NOTES],
            whole=False,
            now=self.now,
            progress=self.work.progress,
        )
        return write_candidate(built.folder, made)

    def publish(self, builds: Sequence[Path]) -> Sequence[str]:
        if self.publishing is None:
            return ()
        return [_published(self.work, build, self.publishing) for build in builds]

    def _making(self, lock: Lock) -> Making:
        if lock.version not in self._makings:
            self._makings[lock.version] = Making(self.work, lock)
        return self._makings[lock.version]

    def _order(self, image: str) -> CheckOrder:
        return CheckOrder(
            image=image,
            architecture=self.architecture,
            profile=self.profile,
            out=self.out,
            memory=self.memory,
            cpus=self.cpus,
            seconds=self.seconds,
        )


def _published(work: Workspace, build: Path, how: Publishing) -> str:
    from zaffre.cli.releasedeltas import publish_candidate
    from zaffre.cli.releasedesk import keep_root, open_desk, root_path, seal_of
    from zaffre.release.candidate import read_candidate
    from zaffre.release.operate import rollout

    pace = rollout(how.waves, work.distribution.waves(how.waves), work.now)
    desk = open_desk(
        work,
        how.target,
        signers=how.signers,
        root=how.root,
        passphrase=how.passphrase,
        pending=how.pending,
    )
    found = read_candidate(build, work.certificates, work.progress, seal=seal_of(work))
    outcome = publish_candidate(work, desk, found, pace, channel=how.channel)
    keep_root(outcome, root_path(work, how.signers, how.root))
    if outcome.done is None:
        return f"{outcome.title}: waits in {outcome.pending} for signatures that are made elsewhere"
    return f"{outcome.title}: state {outcome.done.version} of {how.target}"
