# SPDX-License-Identifier: Apache-2.0
"""Operations on the unpacked files of a Go module."""

from __future__ import annotations

from pathlib import Path

from zaffre.component.fileops import apply_patch, change_files, read_patch
from zaffre.component.sourcetree import SourceTree
from zaffre.definition import Component
from zaffre.definition.operations import (
    FileAdd,
    FileRemove,
    FileRename,
    FileReplace,
    Operation,
    PatchAdd,
    SearchReplace,
)


class GoModuleEditor:
    """A module has neither a series of patches nor a changelog; its version is that of the packages made of it."""

    def __init__(self, tree: SourceTree, folder: Path) -> None:
        self._tree = tree
        self._folder = folder

    def change(self, operation: Operation) -> None:
        match operation:
            case PatchAdd(file=file):
                apply_patch(self._tree, read_patch(self._folder / file))
            case FileAdd() | FileReplace() | FileRemove() | FileRename() | SearchReplace():
                change_files(self._tree, operation, self._folder)
            case _:
                pass  # settings of the build

    def finish(self, component: Component, *, maintainer: str) -> str | None:  # noqa: ARG002 - Editor's signature
        return None
