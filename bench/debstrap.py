# SPDX-License-Identifier: Apache-2.0
"""Roots made by mmdebstrap: the image's packages alone to be measured, and a stock Debian to be booted beside ours.

Source: mmdebstrap(1), version 1.5. A `copy:` archive is one whose files apt brings into the root itself.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from lab import Lab
from measure import Cost, measure

from repository import INSIDE
from zaffre.sandbox import Mount

_SECONDS = 900.0
_PLACE = "/run/mmdebstrap"


def make_root(
    lab: Lab,
    repository: Path,
    folder: Path,
    packages: Sequence[str],
    *,
    variant: str,
    recommends: bool,
    dpkg_options: Iterable[str] = (),
) -> Cost:
    """Make `folder`/root anew, a directory tree."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "tmp").mkdir(parents=True)
    argv = lab.boxed(
        [
            *("env", f"TMPDIR={_PLACE}/tmp"),
            "mmdebstrap",
            "--mode=root",
            "--format=directory",
            f"--variant={variant}",
            f"--aptopt=APT::Install-Recommends {'true' if recommends else 'false'}",
            *(f"--dpkgopt={option}" for option in dpkg_options),
            *([f"--include={','.join(packages)}"] if packages else []),
            lab.suite,
            f"{_PLACE}/root",
            f"deb [trusted=yes] copy:{INSIDE} {lab.suite} main",
        ],
        mounts=[Mount(folder, _PLACE, writable=True), Mount(repository, INSIDE)],
    )
    return measure(argv, log=lab.log("mmdebstrap"), timeout=_SECONDS)
