# SPDX-License-Identifier: Apache-2.0
"""The stages of a patch, one after the other.

The distribution's lock stays as it is until all that was asked for has come out right. A lock that did not prove itself
is kept beside the builds, so that nothing of the work is lost.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from zaffre.advisory.patch import Plan, needless, plan, prove
from zaffre.advisory.report import Report
from zaffre.advisory.versions import order_of
from zaffre.errors import FindingError, ZaffreError
from zaffre.image import Build
from zaffre.machine.report import Verdict
from zaffre.patching.bench import Bench, Order, Stage, orders_of
from zaffre.patching.notice import file_notice, notice_of, write_notice
from zaffre.patching.report import ImageReport, PatchReport, StageReport
from zaffre.patching.touched import changes, touched, with_dependants
from zaffre.upstream import Lock, save_lock

_FAMILIES = {name: order_of(name) for name in ("deb", "rpm")}


class _Clock:
    """Wall times of stages."""

    def __init__(self) -> None:
        self.stages: list[StageReport] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self.stages.append(StageReport(stage=name, seconds=round(time.monotonic() - begin, 1)))


def patch(bench: Bench, order: Order) -> PatchReport:
    """Mend what is known to be vulnerable and has a fix, as far as `order` says.

    A check that fails, or a build that has what its lock mends, is told in the report (`broken`), with the lock that
    led to it kept; what can't be done at all raises. The distribution's lock is the old one then, but for a publication
    that fails: that comes after the lock. Where only some fixes can be chosen, these are taken all the way, and the
    report's proof names what is left.
    """
    clock = _Clock()
    old = bench.lock
    was = bench.distribution.lock_file.read_bytes()
    with clock.stage("scan"):
        subjects = bench.subjects(old)
        before = bench.scan(subjects, title="scan the lock", ask=True)
        wanted = plan(
            before,
            orders_of(subjects, _FAMILIES),
            images=order.images,
            author=order.author,
            today=bench.now.date(),
        )
    report = PatchReport(at=bench.now, old_lock=old.version, plan=wanted, stages=tuple(clock.stages))
    if not wanted.behind:
        return report
    with clock.stage("lock"):
        images = with_dependants(bench.distribution, order.images) if order.images else None
        locking = bench.solve(wanted.packages, images)
        new = locking.lock
        after = bench.scan(bench.subjects(new), title="scan the new lock")
        moved = changes(bench.distribution, locking.diff, wanted.behind)
        mine, others = touched(bench.distribution, moved, order.architecture, images=images or ())
    proof = prove(wanted.pairs, before, after, images=order.images)
    report = report.model_copy(
        update={
            "lock": new.version,
            "changes": moved,
            "proof": proof,
            "needless": needless(before, after),
            "elsewhere": tuple(others),
            "stages": tuple(clock.stages),
        }
    )
    if not proof.gone:
        return report.model_copy(update={"broken": "the archive has versions that mend it, and none could be chosen"})
    if order.dry_run:
        return report
    order.kept_lock.parent.mkdir(parents=True, exist_ok=True)
    save_lock(new, order.kept_lock)
    report = report.model_copy(update={"kept": str(order.kept_lock)})
    built: dict[str, Build] = {}
    with _told(f"zaffre.lock is as it was; the lock that was tried is {order.kept_lock}"):
        if order.until.reaches(Stage.BUILD):
            report = _make(bench, order, report, images=mine, lock=new, before=before, built=built, clock=clock)
        if report.broken is not None:
            return report.model_copy(update={"stages": tuple(clock.stages)})
        if order.until.reaches(Stage.RELEASE):
            with clock.stage("release"):
                report = _release(bench, order, report, built)
    _write(bench, new, was)
    order.kept_lock.unlink(missing_ok=True)
    filed = file_notice(report.advisory, order.advisories)
    report = report.model_copy(update={"written": True, "kept": None, "advisory": filed, "stages": tuple(clock.stages)})
    releases = [built[one.image].folder for one in report.images if one.release is not None]
    if releases:
        with clock.stage("publish"):
            published = _published(bench, releases)
        report = report.model_copy(update={"published": published, "stages": tuple(clock.stages)})
    return report


def _make(
    bench: Bench,
    order: Order,
    report: PatchReport,
    *,
    images: list[str],
    lock: Lock,
    before: Report,
    built: dict[str, Build],
    clock: _Clock,
) -> PatchReport:
    """Build and, as far as is asked, check what is touched, and scan each build: proof is what was built."""
    facts: dict[str, ImageReport] = {}
    with clock.stage("build"):
        for name in images:
            built[name] = bench.build(name, lock)
            facts[name] = ImageReport(
                image=name,
                architecture=built[name].manifest.architecture,
                version=built[name].manifest.version,
                folder=str(built[name].folder),
            )
    if order.until.reaches(Stage.CHECK):
        with clock.stage("check"):
            for name in images:
                facts[name] = _checked(bench, facts[name], built[name], lock)
    with clock.stage("proof"):
        for name in images:
            facts[name] = facts[name].model_copy(update=_proved(bench, report.plan, before, facts[name], built[name]))
    failed = [f"{one.image}: {'; '.join(one.failed)}" for one in facts.values() if one.failed]
    left = [
        f"{one.image}: {', '.join(one.proof.left)}"
        for one in facts.values()
        if one.proof and set(one.proof.left) - set(report.proof.left if report.proof else ())
    ]
    broken = None
    if failed:
        broken = f"the check does not hold: {' / '.join(failed)}"
    elif left:
        broken = f"it is still in what was built: {' / '.join(left)}"
    return report.model_copy(update={"images": tuple(facts.values()), "broken": broken})


def _checked(bench: Bench, fact: ImageReport, built: Build, lock: Lock) -> ImageReport:
    report = bench.check(fact.image, built, lock)
    if report is None:
        kind = bench.distribution.image(fact.image).kind
        return fact.model_copy(update={"remark": f"a {kind} is not checked by this"})
    failed = [line for line in report.lines if line.verdict is Verdict.FAILED]
    return fact.model_copy(
        update={
            "held": sum(line.verdict is Verdict.PASSED for line in report.lines),
            "failed": tuple(f"{line.title}: {line.found}" for line in failed),
        }
    )


def _proved(bench: Bench, wanted: Plan, before: Report, fact: ImageReport, built: Build) -> Mapping[str, object]:
    """What the scan of a build says. An extension that adds no package has nothing to be scanned."""
    if not built.manifest.packages:
        return {}
    pairs = [(one.source, name) for one in wanted.behind if fact.image in one.images for name in one.vulnerabilities]
    after = bench.scan([bench.built_subject(built)], title=f"scan {fact.image}")
    return {"proof": prove(pairs, before, after)}


def _release(bench: Bench, order: Order, report: PatchReport, built: Mapping[str, Build]) -> PatchReport:
    notice = notice_of(bench, report)
    paths = write_notice(notice, order.kept_advisories, bench.sign)
    facts = []
    for one in report.images:
        kind = bench.distribution.image(one.image).kind
        if kind == "host":
            path = bench.make_release(built[one.image], f"{notice.id}: {notice.title}")
            facts.append(one.model_copy(update={"release": str(path)}))
        else:
            remark = "; ".join(part for part in (one.remark, f"a {kind} is not released by this") if part)
            facts.append(one.model_copy(update={"remark": remark}))
    return report.model_copy(update={"images": tuple(facts), "advisory": paths})


def _published(bench: Bench, releases: Sequence[Path]) -> tuple[str, ...]:
    """Publish. The lock is written by then, and the builds are checked, so what fails here is done again by itself."""
    again = ", ".join(str(one) for one in releases)
    with _told(f"the lock is written, and the releases are made: `zaffre release publish` goes on with {again}"):
        return tuple(bench.publish(releases))


@contextmanager
def _told(words: str) -> Iterator[None]:
    """What fails here says besides how things stand."""
    try:
        yield
    except ZaffreError as error:
        error.resolution = f"{error.resolution}; {words}" if error.resolution else words
        raise


def _write(bench: Bench, lock: Lock, was: bytes) -> None:
    path = bench.distribution.lock_file
    if path.read_bytes() != was:
        raise FindingError(
            "the lock was changed while this ran, so the new one was not written over it",
            where=str(path),
            resolution="run `zaffre patch` again: what it built is in the store",
        )
    save_lock(lock, path)
