# SPDX-License-Identifier: Apache-2.0
"""Times of a tree that was changed after it was configured: no clock of the building host shows in them."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.tree.rootfs import walk
from zaffre.tree.tarball import read_tar


@dataclass(frozen=True)
class Moments:
    """By path: the time that the configured root's archive gives it, and a file's size."""

    known: Mapping[str, tuple[int, int]]

    @classmethod
    def of_archive(cls, archive: Path) -> Moments:
        with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return cls({entry.path: (entry.mtime, entry.size) for entry in read_tar(content)})

    def settle(self, root: Path, *, epoch: int) -> None:
        """What is as it was keeps its time; everything that was made or changed since has `epoch`."""
        base = os.fspath(root)
        for path, status in [*walk(root), ("", root.lstat())]:
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            same = not stat.S_ISLNK(status.st_mode) and self.known.get(path) == (int(status.st_mtime), size)
            moment = int(status.st_mtime) if same else epoch
            os.utime(f"{base}/{path}", (moment, moment), follow_symlinks=False)
