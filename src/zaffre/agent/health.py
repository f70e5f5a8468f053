# SPDX-License-Identifier: Apache-2.0
"""What the host's health checks left: a verdict for each version, and the versions that fell back.

Read leniently: what is missing or in another form is not known, and keeps no node from an update.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zaffre.agent.files import read_json
from zaffre.slots import HEALTH

FOLDER: Final = Path(HEALTH)


@dataclass(frozen=True)
class Health:
    """`verdict` is "healthy", "failed", or "unknown"; `boot` the id of the boot that it is of; `failed` the names of
    the checks that did not hold.
    """

    verdict: str
    boot: str | None = None
    failed: tuple[str, ...] = ()


def health_of(version: str, folder: Path = FOLDER) -> Health:
    found = read_json(folder / f"{version}.json")
    healthy, boot, checks = found.get("healthy"), found.get("boot"), found.get("checks")
    failed = [
        str(one.get("name"))
        for one in (checks if isinstance(checks, list) else [])
        if isinstance(one, dict) and one.get("status") != 0
    ]
    return Health(
        {True: "healthy", False: "failed"}[healthy] if isinstance(healthy, bool) else "unknown",
        _plain(boot) if isinstance(boot, str) else None,
        tuple(failed),
    )


def fell_back(folder: Path = FOLDER) -> frozenset[str]:
    """The versions that did not come up, as the host says: a file `bad/<version>` for each."""
    try:
        return frozenset(path.name for path in (folder / "bad").iterdir())
    except OSError:
        return frozenset()


def _plain(boot: str) -> str:
    """A boot id as the kernel has it, or as systemd has it."""
    return boot.replace("-", "").lower()
