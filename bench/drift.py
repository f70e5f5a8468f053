# SPDX-License-Identifier: Apache-2.0
"""`zaffre drift` on a distribution of 7,500 inherited components, generated here: time and memory of the whole program.

Run by itself: `.venv/bin/python bench/drift.py`. The distribution has the upstream and images of the reference; its
components are named as a list of real source packages would be, and none differs from the upstream.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from figures import Figure, Limit, Unit, markdown, table
from measure import measure

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


def figures(root: Path, log: Path) -> list[Figure]:
    """Median of several runs, each a program of its own that begins with nothing but the page cache."""
    argv = [sys.executable, "-m", "zaffre", "--distro", str(root), "drift"]
    costs = [measure(argv, log=log, timeout=60) for _ in range(ROUNDS)]
    title = f"drift of {COMPONENTS} inherited components"
    return [
        Figure(
            f"{title}, wall time", Unit.SECONDS, tuple(one.wall for one in costs), limit=Limit(value=3, strict=True)
        ),
        Figure(f"{title}, CPU time", Unit.SECONDS, tuple(one.cpu for one in costs)),
        Figure(
            f"{title}, memory",
            Unit.BYTES,
            tuple(float(one.process_bytes) for one in costs),
            limit=Limit(value=500e6, strict=True),
        ),
    ]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="zaffre-bench-") as scratch:
        root = generate(Path(scratch, "distro"), COMPONENTS)
        found = figures(root, Path(scratch, "log"))
    print(table(found))
    print(markdown(found), file=sys.stderr)
    return 0 if all(one.held for one in found) else 1


if __name__ == "__main__":
    sys.exit(main())
