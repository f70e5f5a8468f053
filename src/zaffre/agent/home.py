# SPDX-License-Identifier: Apache-2.0
"""What the agent remembers, below `/var/lib/zaffre/agent`.

    metadata/       what python-tuf's client has seen of the channel
    parts/          what is being downloaded, by its digest
    incoming/       what systemd-sysupdate reads: verified files of one version
    staged.json     which version is, or is being, written into the other slot, and in which boot that was
    failed.json     versions that did not come up here
    order.json      the version that somebody asked for
    brought.json    how the files of the version came that was fetched last
    extensions/     a folder for each extension that is followed: see `remembered`
    last.json       the last decision or what kept the agent from one
    journal.jsonl   what it did, the newest last

Any of them may be missing or cut off: then it is not known, and what it takes is done again.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from zaffre.agent.files import read_json, remove, told_when_full, write_json

FOLDER: Final = Path("/var/lib/zaffre/agent")
_JOURNAL_BYTES = 256 << 10
_FAILED = 50
"""As many are remembered; there are never that many newer than what runs."""


@dataclass(frozen=True)
class Staged:
    """`whole`: systemd-sysupdate has written all of it. `boot`: the id of the boot in which that was."""

    version: str
    whole: bool
    boot: str


@dataclass(frozen=True)
class Home:
    folder: Path = FOLDER

    @property
    def metadata(self) -> Path:
        return self.folder / "metadata"

    @property
    def parts(self) -> Path:
        return self.folder / "parts"

    @property
    def incoming(self) -> Path:
        return self.folder / "incoming"

    @property
    def extensions(self) -> Path:
        return self.folder / "extensions"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def journal(self) -> Path:
        return self.folder / "journal.jsonl"

    @property
    def staged(self) -> Staged | None:
        found = read_json(self.folder / "staged.json")
        version, boot = found.get("version"), found.get("boot")
        if not isinstance(version, str) or not isinstance(boot, str):
            return None
        return Staged(version, found.get("whole") is True, boot)

    def keep_staged(self, staged: Staged | None) -> None:
        path = self.folder / "staged.json"
        if staged is None:
            remove(path)
        else:
            write_json(path, {"version": staged.version, "whole": staged.whole, "boot": staged.boot})

    @property
    def failed(self) -> tuple[str, ...]:
        found = read_json(self.folder / "failed.json").get("versions")
        return tuple(one for one in found if isinstance(one, str)) if isinstance(found, list) else ()

    def keep_failed(self, versions: tuple[str, ...]) -> None:
        write_json(self.folder / "failed.json", {"versions": versions[-_FAILED:]})

    @property
    def order(self) -> str | None:
        found = read_json(self.folder / "order.json").get("version")
        return found if isinstance(found, str) else None

    def keep_order(self, version: str | None) -> None:
        path = self.folder / "order.json"
        if version is None:
            remove(path)
        else:
            write_json(path, {"version": version})

    @property
    def brought(self) -> dict[str, object]:
        return read_json(self.folder / "brought.json")

    def keep_brought(self, value: dict[str, object]) -> None:
        write_json(self.folder / "brought.json", value)

    @property
    def last(self) -> dict[str, object]:
        return read_json(self.folder / "last.json")

    def keep_last(self, value: dict[str, object]) -> None:
        write_json(self.folder / "last.json", value)

    def note(self, did: str, now: datetime, **facts: str | None) -> None:
        """A line in the journal. When it has grown too long, the one before it goes."""
        line = json.dumps({"time": now.isoformat(), "did": did, **facts}, ensure_ascii=False)
        with told_when_full(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            if self.journal.exists() and self.journal.stat().st_size > _JOURNAL_BYTES:
                self.journal.replace(self.journal.with_suffix(".old"))
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(line + "\n")
                file.flush()
                os.fsync(file.fileno())
