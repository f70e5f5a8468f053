# SPDX-License-Identifier: Apache-2.0
"""What it costs to change one file in a sealed image, beside a full build of that image: each round has its pair."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from figures import Figure, Limit, Unit
from lab import IMAGE, PROFILE, Lab, Say
from measure import Cost, measure
from noise import wait_for_calm

_SECONDS = 900.0


@dataclass
class Customisations:
    """The costs of each round, in order."""

    built: list[Cost] = field(default_factory=list)
    customised: list[Cost] = field(default_factory=list)

    @property
    def others(self) -> list[float]:
        """The share of the machine that other programs used, for each measurement."""
        return [cost.others for cost in (*self.built, *self.customised)]


def measure_customising(lab: Lab, *, rounds: int, say: Say) -> Customisations:
    """Build the image without any cached step, then lay one file over what came out."""
    found = Customisations()
    folder = lab.folder / "customising"
    changes = _changes(folder)
    for number in range(1, rounds + 1):
        out, made = folder / "out", folder / "made"
        wait_for_calm()
        build = lab.zaffre("build", IMAGE, "--profile", PROFILE, "--out", str(out), "--no-cache")
        found.built.append(measure(build, log=lab.log("zaffre"), timeout=_SECONDS))
        image = next(out.iterdir()) / "image.raw"
        wait_for_calm()
        customise = lab.zaffre("customize", str(image), "--with", str(changes), "-o", str(made))
        found.customised.append(measure(customise, log=lab.log("customise"), timeout=_SECONDS))
        shutil.rmtree(out)
        shutil.rmtree(made)
        built, customised = found.built[-1], found.customised[-1]
        say(f"round {number} of {rounds}: full build {built.wall:.1f} s, one file customised {customised.wall:.1f} s")
    shutil.rmtree(folder)
    return found


def customising_figures(found: Customisations) -> list[Figure]:
    """The lines of the table that are about customising."""
    title, peer = "one file customised in a sealed image", "full build"
    return [
        Figure(
            f"{title}, {word} time", Unit.SECONDS, _each(found.customised, name), peer, _each(found.built, name), limit
        )
        for word, name, limit in (("wall", "wall", Limit(ratio=0.5)), ("CPU", "cpu", None))
    ]


def _each(costs: list[Cost], name: str) -> tuple[float, ...]:
    return tuple(float(getattr(cost, name)) for cost in costs)


def _changes(folder: Path) -> Path:
    (folder / "files/etc").mkdir(parents=True)
    (folder / "files/etc/customised.conf").write_text("changed = true\n")
    changes = folder / "changes.toml"
    changes.write_text('[files]\ntrees = ["files"]\n')
    return changes
