# SPDX-License-Identifier: Apache-2.0
"""`zaffre drift` on a distribution of 7,500 inherited components, generated here: time and memory of the whole program.

The distribution has the upstream and images of the reference; its components are named as a list of real source
packages would be, and none differs from the upstream.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from figures import Figure, Limit, Unit
from measure import Cost, measure
from noise import wait_for_calm

from zaffre.definition import reference_root

COMPONENTS = 7500
ROUNDS = 5
_FILE = """\
# SPDX-License-Identifier: Apache-2.0
description = "Source package {number} of a distribution"

[source]
kind = "deb-source"
package = "{name}"
"""


def generate(root: Path, components: int) -> Path:
    """A distribution in an absent directory."""
    shutil.copytree(reference_root(), root, ignore=shutil.ignore_patterns("components"))
    for number in range(components):
        name = f"source-package-{number:04}"
        folder = root / "components" / name
        folder.mkdir(parents=True)
        (folder / "component.toml").write_text(_FILE.format(number=number, name=name), "utf-8")
    return root


def measure_drift(folder: Path, *, say: Callable[[str], None]) -> list[Cost]:
    """Several runs, each a program of its own that begins with nothing but the page cache."""
    root = generate(folder / "many-components", COMPONENTS)
    argv = [sys.executable, "-m", "zaffre", "--distro", str(root), "--store", str(folder / "no-store"), "drift"]
    wait_for_calm()
    costs = [measure(argv, log=folder / "drift.log", timeout=60) for _ in range(ROUNDS)]
    say(f"drift of {COMPONENTS:,} components: {', '.join(f'{one.wall:.2f}' for one in costs)} s")
    return costs


def drift_figures(costs: list[Cost]) -> list[Figure]:
    """The lines of the table that are about large distributions."""
    title = f"drift of {COMPONENTS:,} inherited components"
    wall, cpu, memory = (tuple(float(getattr(one, name)) for one in costs) for name in ("wall", "cpu", "process_bytes"))
    return [
        Figure(f"{title}, wall time", Unit.SECONDS, wall, limit=Limit(value=3, strict=True)),
        Figure(f"{title}, CPU time", Unit.SECONDS, cpu),
        Figure(f"{title}, memory", Unit.BYTES, memory, limit=Limit(value=500e6, strict=True)),
    ]
