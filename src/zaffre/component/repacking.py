# SPDX-License-Identifier: Apache-2.0
"""Unpacked binary packages that overlays are tried on: folders by name, as `dpkg-deb --raw-extract` leaves them."""

from __future__ import annotations

import shutil
from pathlib import Path

from zaffre.component.repack import apply_operation
from zaffre.definition.operations import Operation


class Repacking:
    """Files move and control files are written in place, so what undoes an overlay is a copy made before it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._before = root.with_name(f"{root.name}.before")
        self._folders = {path.name: path for path in root.iterdir()}
        self._folders_before = dict(self._folders)

    def begin(self) -> None:
        if self._before.exists():
            shutil.rmtree(self._before)
        shutil.copytree(self._root, self._before, symlinks=True)
        self._folders_before = dict(self._folders)

    def undo(self) -> None:
        shutil.rmtree(self._root)
        shutil.copytree(self._before, self._root, symlinks=True)
        self._folders = dict(self._folders_before)

    def content(self, path: str) -> bytes | None:  # noqa: ARG002 - Workpiece's signature
        """Packages are split as they are; no lines of theirs are changed."""
        return None

    def change(self, operation: Operation) -> None:
        apply_operation(operation, self._folders, self._root, where="")
