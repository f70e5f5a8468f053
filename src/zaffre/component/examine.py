# SPDX-License-Identifier: Apache-2.0
"""Do the overlays of a component fit a source? Each is tried in turn on a copy, and those that don't are undone.

Nothing is claimed that was not seen. An overlay is obsolete when the source is already as each of its operations
wants it: a patch applies in reverse and not forwards, a file has this very content, a dependency is there.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from zaffre.component.faults import AlreadyError, NoMatchError, OperationError
from zaffre.component.outcome import Fit, Outcome
from zaffre.component.overlay import editor_for, placed
from zaffre.component.repacking import Repacking
from zaffre.component.sourcetree import SourceTree
from zaffre.definition import Component, DebBinary, Overlay, RpmSource
from zaffre.definition.operations import ChangelogEntry, Operation, PatchAdd, VersionChange
from zaffre.errors import DefinitionError


class Workpiece(Protocol):
    """A copy of a source that overlays are tried on."""

    def begin(self) -> None: ...

    def undo(self) -> None: ...

    def content(self, path: str) -> bytes | None:
        """A file of the source as it is now; None if there is no such plain file."""
        ...

    def change(self, operation: Operation) -> None:
        """OperationError and its kinds, or a DefinitionError, when the operation can not be done."""
        ...


class _Edited:
    """An unpacked source. Files are shared with the original; each change makes a new one."""

    def __init__(self, component: Component, root: Path, folder: Path) -> None:
        self._tree = SourceTree(root)
        self._editor = editor_for(component, self._tree, folder)

    def begin(self) -> None:
        self._tree.begin()

    def undo(self) -> None:
        self._tree.undo()

    def content(self, path: str) -> bytes | None:
        try:
            return self._tree.read(path)
        except OperationError:
            return None

    def change(self, operation: Operation) -> None:
        self._editor.change(operation)


@contextmanager
def workpiece(component: Component, folder: Path, source: Path, scratch: Path) -> Iterator[Workpiece]:
    """A copy of `source` in `scratch`. DefinitionError if it is no source of the component's kind."""
    with tempfile.TemporaryDirectory(prefix="try-", dir=scratch) as made:
        root = Path(made, "source")
        if isinstance(component.source, DebBinary):
            shutil.copytree(source, root, symlinks=True)
            yield Repacking(root)
            return
        shutil.copytree(source, root, symlinks=True, copy_function=_share)
        with placed(component.file, 0, whole=True):
            piece = _Edited(component, root, folder)
        yield piece


def _share(source: str, target: str) -> object:
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError:  # another file system
        return shutil.copy2(source, target, follow_symlinks=False)
    return target


def examine(component: Component, *, folder: Path, source: Path, scratch: Path) -> tuple[Outcome, ...]:
    """Try all overlays in order on a copy of the source. `folder` is the component's."""
    with workpiece(component, folder, source, scratch) as piece:
        return tuple(attempt(piece, component, overlay) for overlay in component.overlays)


def attempt(piece: Workpiece, component: Component, overlay: Overlay) -> Outcome:
    """Try one overlay; unless it is clean, the copy is afterwards as it was."""
    piece.begin()
    already: list[int] = []
    done: list[int] = []
    why = ""
    for index, operation in enumerate(overlay.operations):
        where = f"{overlay.file}: operations[{index}]"
        try:
            piece.change(operation)
        except AlreadyError as error:
            already.append(index)
            why = why or error.brief
        except OperationError as error:
            piece.undo()
            at = f"{where}.{error.key}" if error.key else where
            near = f"near: {', '.join(error.near)}" if isinstance(error, NoMatchError) and error.near else ""
            return Outcome(overlay, Fit.CONFLICT, error.brief, at, error.details or near)
        except DefinitionError as error:
            piece.undo()
            return Outcome(overlay, Fit.CONFLICT, error.brief, error.where or where, error.details or "")
        else:
            if not isinstance(operation, VersionChange | ChangelogEntry):
                done.append(index)
    if not already:
        return Outcome(overlay, Fit.CLEAN, unsure=_unsure(component, overlay))
    piece.undo()
    if not done:
        return Outcome(overlay, Fit.OBSOLETE, why, f"{overlay.file}: operations[{already[0]}]")
    part = f"{overlay.file}: operations[{already[0]}]"
    return Outcome(overlay, Fit.CONFLICT, f"{why}; the other operations are still needed", part)


def _unsure(component: Component, overlay: Overlay) -> str:
    if isinstance(component.source, RpmSource) and any(isinstance(one, PatchAdd) for one in overlay.operations):
        return "rpm applies patches while it builds, so whether the upstream has them is not known before"
    return ""
