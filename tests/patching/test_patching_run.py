# SPDX-License-Identifier: Apache-2.0
"""The order of the stages, and what stands when one of them fails. The bench is one in memory; locks, scans, manifests,
signatures and files are real.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from support.releases import check_report, make_build
from zaffre.advisory.model import Advisory, Feed, Kind, Range
from zaffre.advisory.report import Report
from zaffre.advisory.scan import Known, scan
from zaffre.advisory.subject import Subject
from zaffre.advisory.subjects.build import build_subject
from zaffre.advisory.subjects.locked import lock_subjects
from zaffre.definition import Distribution, load_distribution
from zaffre.definition.starter import init_distribution
from zaffre.errors import FindingError, WorldError
from zaffre.image import Build
from zaffre.machine.report import CheckReport, Verdict
from zaffre.manifest import MANIFEST_NAME, Manifest
from zaffre.patching import Order, PatchReport, Stage, patch
from zaffre.trust import Keys
from zaffre.trust.generate import init_keys
from zaffre.upstream import Lock, LockedPackage, LockedSet, diff_locks, load_lock, save_lock
from zaffre.upstream.locking import Locking

NOW = dt.datetime(2026, 11, 26, 9, tzinfo=dt.UTC)
MENDED = "2.7-1+deb13u2"
ALL = Advisory("OSV-1", "expat", (Range(),), ("CVE-2026-1000",))


def lock_of(version: str, serial: int) -> Lock:
    package = LockedPackage(
        name="libexpat1",
        version=version,
        architecture="amd64",
        sha256=f"{serial:064x}",
        size=1,
        path=f"pool/libexpat1_{version}.deb",
        archive="debian",
        suite="trixie",
        source="expat",
        source_version=version,
    )
    sets = [
        LockedSet(name="container-host", architecture=machine, upstream="debian", request="0" * 64, packages=(package,))
        for machine in ("amd64", "arm64")
    ]
    return Lock.model_validate({"distribution": "own", "created": NOW, "serial": serial, "suites": [], "sets": sets})


@dataclass
class FakeBench:
    """Builds small folders of the real form; the archive has `archive`, and checks say `verdict`."""

    distribution: Distribution
    keys: Keys
    out: Path
    archive: str = MENDED
    contains: str | None = None
    verdict: Verdict = Verdict.PASSED
    offline: bool = False
    known: tuple[Advisory, ...] = (Advisory("OWN-1", "expat", (Range(fixed=MENDED),), ("CVE-2026-1000",)),)
    done: list[str] = field(default_factory=list)

    @property
    def lock(self) -> Lock:
        found = load_lock(self.distribution.lock_file)
        assert found is not None
        return found

    @property
    def now(self) -> dt.datetime:
        return NOW

    def subjects(self, lock: Lock) -> Sequence[Subject]:
        return lock_subjects(lock, self.distribution, title="lock")

    def scan(self, subjects: Sequence[Subject], *, title: str, ask: bool = False) -> Report:
        week = dt.timedelta(days=7)
        known = Known(
            (Feed("a", Kind.ARCHIVE, "Debian:13", "deb", "a test", NOW, week, self.known, upstream="debian"),)
        )
        return scan(subjects, known, now=NOW)

    def solve(self, packages: Sequence[str], images: Sequence[str] | None) -> Locking:
        self.done.append(f"solve {' '.join(packages)} for {images}")
        new = lock_of(self.archive, 2)
        return Locking(new, self.lock, diff_locks(self.lock, new))

    def build(self, image: str, lock: Lock) -> Build:
        self.done.append(f"build {image}")
        version = self.contains or lock.sets[0].packages[0].version
        fact = {
            "name": "libexpat1",
            "version": version,
            "architecture": "amd64",
            "source": "expat",
            "source_version": version,
            "sha256": "0" * 64,
        }
        folder = make_build(self.out, self.keys, f"1.{lock.version}", image=image, packages=[fact])
        manifest = Manifest.model_validate_json((folder / MANIFEST_NAME).read_bytes())
        return Build(folder, manifest, fresh=True, why=())

    def check(self, image: str, built: Build, lock: Lock) -> CheckReport | None:
        if not self.distribution.image(image).kind.boots:
            return None
        self.done.append(f"check {image}")
        return check_report([Verdict.PASSED, self.verdict])

    def built_subject(self, built: Build) -> Subject:
        # The inventory of these small folders has no files to name.
        return replace(build_subject(built.folder, self.distribution), files=lambda _: ())

    def sign(self, data: bytes) -> bytes:
        return self.keys.release_signer().sign_bytes(data)

    def make_release(self, built: Build, notes: str) -> Path:
        self.done.append(f"release {notes}")
        return built.folder.with_suffix(".release.json")

    def publish(self, builds: Sequence[Path]) -> Sequence[str]:
        if self.offline:
            raise WorldError("the place does not answer")
        self.done.append(f"publish {len(builds)}")
        return ["published"]


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("patching") / "keys", owner="Own", now=dt.datetime.now(dt.UTC))


@pytest.fixture
def bench(tmp_path: Path, keys: Keys) -> FakeBench:
    init_distribution(tmp_path / "own", id="own", name="Own Linux")
    distribution = load_distribution(tmp_path / "own")
    assert "container-host" in distribution.images
    save_lock(lock_of("2.7-1", 1), distribution.lock_file)
    return FakeBench(distribution, keys, tmp_path / "out")


def run(bench: FakeBench, until: Stage = Stage.RELEASE, **more: object) -> PatchReport:
    order = Order(images=(), architecture="amd64", until=until, dry_run=bool(more.get("dry_run")), out=bench.out)
    return patch(bench, order)


def locked(bench: FakeBench) -> str:
    return bench.lock.sets[0].packages[0].version


def test_from_a_known_vulnerability_to_a_release(bench: FakeBench) -> None:
    report = run(bench)
    assert report.done
    assert [one.stage for one in report.stages] == ["scan", "lock", "build", "check", "proof", "release", "publish"]
    assert bench.done[:-2] == [
        "solve libexpat1 for None",
        "build container-host",
        "build check",
        "check container-host",
    ]
    assert bench.done[-2:] == ["release OWN-SA-20261126.2: Own Linux: security update of expat", "publish 1"]
    assert locked(bench) == MENDED
    assert (report.written, report.kept) == (True, None)
    one, probes = report.images
    assert (probes.image, probes.held, probes.release) == ("check", None, None)
    assert one.proof is not None
    assert (one.proof.gone, one.proof.left, one.held) == (("CVE-2026-1000",), (), 2)
    assert "container-host (arm64)" in report.elsewhere
    for path in map(Path, report.advisory):
        signature = path.with_name(f"{path.name}.sig").read_bytes()
        assert bench.keys.release_signer().holds(path.read_bytes(), signature)
    told = json.loads(Path(report.advisory[0]).read_bytes())
    assert (told["id"], told["upstream"]) == ("OWN-SA-20261126.2", ["CVE-2026-1000"])
    again = run(bench)
    assert (again.plan.behind, again.lock, again.done) == ((), None, True)


def test_a_dry_run_writes_nothing(bench: FakeBench) -> None:
    report = run(bench, dry_run=True)
    assert report.proof is not None
    assert report.proof.gone == ("CVE-2026-1000",)
    assert bench.done == ["solve libexpat1 for None"]
    assert locked(bench) == "2.7-1"
    assert not bench.out.exists()


@pytest.mark.parametrize(
    ("until", "last"),
    [(Stage.LOCK, "solve"), (Stage.BUILD, "build"), (Stage.CHECK, "check"), (Stage.RELEASE, "publish")],
)
def test_it_stops_after_the_stage_that_was_asked_for(bench: FakeBench, until: Stage, last: str) -> None:
    assert run(bench, until).written
    assert bench.done[-1].split()[0] == last
    assert locked(bench) == MENDED


def test_a_check_that_fails_leaves_the_old_lock_and_keeps_the_new_one(bench: FakeBench) -> None:
    bench.verdict = Verdict.FAILED
    report = run(bench)
    assert not report.done
    assert report.broken == "the check does not hold: container-host: line 1: as found"
    assert locked(bench) == "2.7-1"
    assert report.kept is not None
    kept = load_lock(Path(report.kept))
    assert kept is not None
    assert kept.sets[0].packages[0].version == MENDED
    assert not any(one.startswith(("release", "publish")) for one in bench.done)


def test_what_was_built_counts_and_not_what_was_locked(bench: FakeBench) -> None:
    bench.contains = "2.7-1"
    report = run(bench)
    assert report.broken == "it is still in what was built: container-host: CVE-2026-1000"
    assert locked(bench) == "2.7-1"


def test_a_fix_that_can_not_be_had_is_said(bench: FakeBench) -> None:
    bench.archive = "2.7-1+deb13u1"
    report = run(bench)
    assert not report.done
    assert report.proof is not None
    assert report.proof.left == ("CVE-2026-1000",)
    assert locked(bench) == "2.7-1"
    assert bench.done == ["solve libexpat1 for None"]


def test_the_fixes_that_can_be_had_are_released_and_the_others_said(bench: FakeBench) -> None:
    bench.known += (Advisory("OWN-2", "expat", (Range(fixed=f"{MENDED}1"),), ("CVE-2026-1001",)),)
    report = run(bench)
    assert (report.done, report.written) == (False, True)
    assert report.proof is not None
    assert (report.proof.gone, report.proof.left) == (("CVE-2026-1000",), ("CVE-2026-1001",))
    assert locked(bench) == MENDED
    assert bench.done[-1] == "publish 1"


def test_a_place_that_does_not_answer_loses_no_work(bench: FakeBench) -> None:
    bench.offline = True
    with pytest.raises(WorldError) as caught:
        run(bench)
    assert "`zaffre release publish` goes on" in (caught.value.resolution or "")
    assert locked(bench) == MENDED


def test_a_build_that_fails_leaves_the_old_lock_and_says_where_the_new_one_is(bench: FakeBench) -> None:
    class Broken(FakeBench):
        def build(self, image: str, lock: Lock) -> Build:
            raise WorldError("the disk is full", resolution="make room")

    broken = Broken(bench.distribution, bench.keys, bench.out)
    with pytest.raises(WorldError) as caught:
        run(broken)
    kept = bench.out / "patch/zaffre.lock"
    assert caught.value.resolution == f"make room; zaffre.lock is as it was; the lock that was tried is {kept}"
    assert load_lock(kept) is not None
    assert locked(broken) == "2.7-1"


def test_a_lock_that_somebody_else_changed_meanwhile_is_not_overwritten(bench: FakeBench) -> None:
    class Meddled(FakeBench):
        def check(self, image: str, built: Build, lock: Lock) -> CheckReport | None:
            save_lock(lock_of("2.7-1+deb13u1", 2), self.distribution.lock_file)
            return super().check(image, built, lock)

    meddled = Meddled(bench.distribution, bench.keys, bench.out)
    with pytest.raises(FindingError, match="changed while this ran"):
        run(meddled)
    assert locked(meddled) == "2.7-1+deb13u1"
    assert not any(one.startswith("publish") for one in meddled.done)
    assert not (bench.out / "advisories").exists(), "what is signed in there is published"


def test_no_advisory_says_what_was_not_released(bench: FakeBench) -> None:
    class Full(FakeBench):
        def make_release(self, built: Build, notes: str) -> Path:
            raise WorldError("the disk is full")

    with pytest.raises(WorldError):
        run(Full(bench.distribution, bench.keys, bench.out))
    assert not (bench.out / "advisories").exists()


def test_what_another_feed_still_sees_in_the_new_version_is_not_gone(bench: FakeBench) -> None:
    class Doubted(FakeBench):
        def scan(self, subjects: Sequence[Subject], *, title: str, ask: bool = False) -> Report:
            week = dt.timedelta(days=7)
            feeds = (
                Feed("a", Kind.ARCHIVE, "Debian:13", "deb", "a test", NOW, week, self.known, upstream="debian"),
                Feed("b", Kind.OSV, "Debian:13", "deb", "a test", NOW, week, (ALL,)),
            )
            return scan(subjects, Known(feeds), now=NOW)

    report = run(Doubted(bench.distribution, bench.keys, bench.out))
    assert report.proof is not None
    assert (report.proof.gone, report.proof.left) == ((), ("CVE-2026-1000",))
    assert not report.done
    assert locked(bench) == "2.7-1"
