# SPDX-License-Identifier: Apache-2.0
"""systemd-sysupdate(8) with the transfer files of the host. What it says in JSON counts; `check-new` is never asked, as
its exit code is the same for 'nothing' and for 'refused'.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from zaffre.agent.commands import Done, run

PROGRAM: Final = "/usr/lib/systemd/systemd-sysupdate"
_LIST_SECONDS = 60.0
_UPDATE_SECONDS = 1800.0
"""A slot of a few hundred MB to a slow disk."""


@dataclass(frozen=True)
class Slots:
    """`command` is how the program is called."""

    command: tuple[str, ...] = (PROGRAM,)

    def versions(self) -> tuple[str, ...]:
        """What has at least one part in a slot. Raises ToolError when that cannot be found out."""
        done = self._run("--offline", "list", seconds=_LIST_SECONDS)
        found = _json(done.require("systemd-sysupdate does not say what is in the slots")).get("all")
        return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()

    def installed(self, version: str) -> bool:
        """Whether all parts of a version are in their slots; one that is half there is not."""
        if version not in self.versions():
            return False
        found = _json(self._run("--offline", "list", version, seconds=_LIST_SECONDS))
        return found.get("installed") is True and found.get("incomplete") is False

    def update(self, version: str) -> None:
        """Write a version from its sources into the slot that is not protected. Raises ToolError."""
        done = self._run("update", version, seconds=_UPDATE_SECONDS)
        done.require(f"systemd-sysupdate could not write {version} into the other slot")

    def _run(self, *words: str, seconds: float) -> Done:
        return run(*self.command, "--json=short", *words, seconds=seconds)


def _json(done: Done) -> dict[str, object]:
    """The last line that it wrote, if that is an object; what it tells before goes to standard error."""
    lines = done.out.strip().splitlines()
    try:
        value = json.loads(lines[-1]) if lines and not done.code else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
