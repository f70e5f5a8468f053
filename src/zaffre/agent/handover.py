# SPDX-License-Identifier: Apache-2.0
"""What systemd-sysupdate gets: files of one version, under the names that the host's transfer files have.

systemd-sysupdate does not verify what comes from a local folder, so each file is hashed once more at the moment in
which it is laid there, and nothing else lies there. The order is that of the transfers: what makes it bootable is last.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from zaffre.agent.files import is_file_of, remove, sync_folder, told_when_full
from zaffre.errors import IntegrityError

ORDER: Final = ("root.verity", "root.erofs", "uki.efi")
"""The files of a release that are handed over, in this order. Under which names: `zaffre.slots.incoming_names`."""


@dataclass(frozen=True)
class Expected:
    """What the signed metadata say of a file. `place` is where it lies in the repository."""

    place: str
    length: int
    sha256: str


def hand_over(files: Mapping[str, tuple[Path, Expected]], names: Mapping[str, str], incoming: Path) -> None:
    """Lay the files of one version into `incoming`, and nothing but these. Whoever ends it, `take_back` undoes it.

    Raises IntegrityError for a file that is not what was verified when it was downloaded; that one is removed.
    """
    with told_when_full(incoming):
        incoming.mkdir(parents=True, exist_ok=True)
        clear(incoming)
        for file in ORDER:
            source, expected = files[file]
            _require(source, expected)
            _sync(source)
            source.replace(incoming / names[file])
            sync_folder(incoming)


def take_back(files: Mapping[str, Expected], names: Mapping[str, str], incoming: Path, parts: Path) -> None:
    """What an earlier run laid there goes back to where downloads are, to be verified and handed over once more."""
    parts.mkdir(parents=True, exist_ok=True)
    for file, expected in files.items():
        laid = incoming / names[file]
        if laid.is_file() and not (parts / expected.sha256).exists():
            laid.replace(parts / expected.sha256)
    clear(incoming)


def clear(folder: Path) -> None:
    """Remove all files in a folder."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        path.unlink()
    sync_folder(folder)


def _require(source: Path, expected: Expected) -> None:
    if not is_file_of(source, expected.length, expected.sha256):
        remove(source)
        raise IntegrityError(
            "a downloaded file is no longer what was verified; it was removed",
            where=str(source),
            resolution="look at the disk; the next run downloads it again",
        )


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
