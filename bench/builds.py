# SPDX-License-Identifier: Apache-2.0
"""What building costs, in rounds: mkosi, mmdebstrap and ours one after the other, so that each round has its pairs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from debstrap import make_root
from figures import Figure, Limit, Unit
from lab import IMAGE, PROFILE, Lab, Say
from measure import BenchError, Cost, measure
from mkosi import Mkosi
from noise import wait_for_calm

from repository import PROVIDES

_SECONDS = 900.0
_REPEATS = 3
_ARTIFACTS = ("root.erofs", "uki.efi")


@dataclass
class Builds:
    """The costs of each round, in order."""

    mkosi: list[Cost] = field(default_factory=list)
    mmdebstrap: list[Cost] = field(default_factory=list)
    cold: list[Cost] = field(default_factory=list)
    changed: list[Cost] = field(default_factory=list)
    unchanged: list[Cost] = field(default_factory=list)

    @property
    def others(self) -> list[float]:
        """The share of the machine that other programs used, for each measurement."""
        costs = (*self.mkosi, *self.mmdebstrap, *self.cold, *self.changed, *self.unchanged)
        return [cost.others for cost in costs]


def measure_builds(lab: Lab, repository: Path, *, rounds: int, say: Say) -> Builds:
    """Rounds of all builders. (What is released is built by `release_build`.)"""
    found = Builds()
    mkosi = Mkosi(lab, repository)
    out = lab.folder / "out"
    changed_file = _a_file(lab)
    root = lab.folder / "root"

    def make_alone() -> Cost:
        packages = (*lab.asked, PROVIDES)
        return make_root(lab, repository, root, packages, variant="essential", recommends=lab.image.recommends)

    def change_and_build() -> Cost:
        with changed_file.open("a") as file:
            file.write("# changed\n")
        return _build(lab, out)

    for number in range(1, rounds + 1):
        measured = _Announcer(f"round {number} of {rounds}: ", say)
        found.mkosi.append(measured("mkosi", mkosi.build))
        found.mmdebstrap.append(measured("mmdebstrap", make_alone))
        shutil.rmtree(root)
        found.cold.append(measured("Zaffre, cold", lambda: _build(lab, out, "--no-cache")))
        changed = [measured("Zaffre, one file changed", change_and_build) for _ in range(_REPEATS)]
        unchanged = [measured("Zaffre, nothing changed", lambda: _build(lab, out)) for _ in range(_REPEATS)]
        found.changed.append(_typical(changed))
        found.unchanged.append(_typical(unchanged))
    shutil.rmtree(out)
    return found


def release_build(lab: Lab, image: str = IMAGE, *, say: Say) -> Path:
    """The folder of our build of that image in the release profile."""
    release = lab.folder / f"release-{image}"
    title = f"Zaffre, {image} in the release profile"
    _Announcer("", say)(title, lambda: _build(lab, release, image=image, profile="release"))
    return next(release.iterdir())


def build_figures(found: Builds, release: Path) -> list[Figure]:
    """The lines of the table that are about building. `release`: the folder of our release build."""
    size = float(sum((release / name).stat().st_size for name in _ARTIFACTS))
    unchanged = tuple(cost.wall for cost in found.unchanged)
    mkosi, alone = _Peer("mkosi", found.mkosi), _Peer("root alone, mmdebstrap", found.mmdebstrap)
    return [
        Figure("size: root.erofs + uki.efi, release", Unit.BYTES, (size,), limit=Limit(value=105e6)),
        mkosi.pair("cold build, CPU time", "cpu", found.cold, most=0.5),
        mkosi.pair("cold build, wall time", "wall", found.cold, most=0.35),
        mkosi.pair("one file changed, wall time", "wall", found.changed, most=0.05),
        Figure("nothing changed, wall time", Unit.SECONDS, unchanged, limit=Limit(value=1.0, strict=True)),
        alone.pair("cold build, CPU time", "cpu", found.cold),
        alone.pair("cold build, wall time", "wall", found.cold),
        mkosi.pair("cold build, memory of the largest process", "process_bytes", found.cold),
        mkosi.pair("cold build, memory of all processes", "tree_bytes", found.cold),
    ]


@dataclass(frozen=True)
class _Peer:
    name: str
    costs: list[Cost]

    def pair(self, title: str, attribute: str, ours: list[Cost], *, most: float | None = None) -> Figure:
        unit = Unit.BYTES if attribute.endswith("_bytes") else Unit.SECONDS
        mine, theirs = (tuple(float(getattr(cost, attribute)) for cost in costs) for costs in (ours, self.costs))
        return Figure(title, unit, mine, self.name, theirs, Limit(ratio=most) if most is not None else None)


def _build(lab: Lab, out: Path, *words: str, image: str = IMAGE, profile: str = PROFILE) -> Cost:
    argv = lab.zaffre("build", image, "--profile", profile, "--out", str(out), *words)
    return measure(argv, log=lab.log("zaffre"), timeout=_SECONDS)


def _a_file(lab: Lab) -> Path:
    """A file of the definition's files/ in which a comment may stand."""
    for tree in lab.image.files.trees:
        for path in sorted((lab.definition / tree).rglob("*")):
            if path.is_file() and path.suffix in {".conf", ".toml", ".network"}:
                return path
    raise BenchError("the definition has no file that could be changed")


@dataclass(frozen=True)
class _Announcer:
    """Measures when others are calm, and says what came out."""

    prefix: str
    say: Say

    def __call__(self, title: str, work: Callable[[], Cost]) -> Cost:
        wait_for_calm()
        cost = work()
        memory = f"{cost.process_bytes / 1e6:.0f} MB"
        self.say(f"{self.prefix}{title}: {cost.wall:.1f} s, CPU {cost.cpu:.1f} s, {memory} (others {cost.others:.0%})")
        return cost


def _typical(costs: list[Cost]) -> Cost:
    """The one whose wall time is the median: what takes seconds is measured more than once a round."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]
