# SPDX-License-Identifier: Apache-2.0
"""What the agent remembers of each extension, in a folder of its own below `/var/lib/zaffre/agent/extensions`.

    state.json      what follows here
    parts/          what is being downloaded, by its digest
    trying/         the extension on trial, under its own name

Any of them may be missing or cut off: then it is not known, and what it takes is done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from zaffre.agent.files import read_json, write_json

TRIES: Final = 3
"""How often a version is tried that does not prove itself, or whose trial nobody saw the end of."""
_FAILED = 50


@dataclass(frozen=True)
class Remembered:
    """`newest` is the newest version that was ever laid over, and `sha256` the digest of what is kept, if anything is;
    `kind` what it is. `tried` is a version that did not come to its end `tries` times, with its digest. `failed` were
    refused, or tried too often. `needed` is what has been the agent's own. `last` is the last decision, or what kept
    the agent from it.
    """

    kind: str | None = None
    newest: str | None = None
    sha256: str | None = None
    failed: tuple[str, ...] = ()
    tried: str | None = None
    tried_sha256: str | None = None
    tries: int = 0
    needed: bool = False
    last: Mapping[str, object] = field(default_factory=dict)

    def refused(self, version: str) -> Remembered:
        failed = (*(one for one in self.failed if one != version), version)
        return replace(self, failed=failed[-_FAILED:], tried=None, tried_sha256=None, tries=0)

    def taken(self, kind: str, version: str, sha256: str) -> Remembered:
        return replace(self, kind=kind, newest=version, sha256=sha256, tried=None, tried_sha256=None, tries=0)

    def trying(self, version: str, sha256: str) -> Remembered:
        tries = self.tries + 1 if self.tried == version else 1
        return replace(self, tried=version, tried_sha256=sha256, tries=tries)


@dataclass(frozen=True)
class Shelf:
    """Where it is kept. `folder` is that of all extensions."""

    folder: Path

    def names(self) -> tuple[str, ...]:
        return tuple(sorted(one.name for one in self.folder.iterdir())) if self.folder.is_dir() else ()

    def parts(self, name: str) -> Path:
        return self.folder / name / "parts"

    def trying(self, name: str) -> Path:
        """Under its own name, by which systemd looks for its release file."""
        return self.folder / name / "trying" / f"{name}.raw"

    def read(self, name: str) -> Remembered:
        found = read_json(self.folder / name / "state.json")
        text = {key: value if isinstance(value := found.get(key), str) else None for key in _TEXT}
        failed, tries, last = found.get("failed"), found.get("tries"), found.get("last")
        return Remembered(
            **text,
            failed=tuple(one for one in failed if isinstance(one, str)) if isinstance(failed, list) else (),
            tries=tries if isinstance(tries, int) else 0,
            needed=found.get("needed") is True,
            last=last if isinstance(last, dict) else {},
        )

    def keep(self, name: str, one: Remembered) -> None:
        write_json(self.folder / name / "state.json", asdict(one))

    def clear(self, name: str) -> None:
        """Of what was downloaded and tried."""
        self.trying(name).unlink(missing_ok=True)
        if self.parts(name).is_dir():
            shutil.rmtree(self.parts(name))

    def drop(self, name: str) -> None:
        if (self.folder / name).is_dir():
            shutil.rmtree(self.folder / name)


_TEXT = ("kind", "newest", "sha256", "tried", "tried_sha256")
