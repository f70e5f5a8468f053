# SPDX-License-Identifier: Apache-2.0
"""Applies a component's overlays to an unpacked source: all of them, on a copy, or none.

The copy takes the name of the result when everything was done; until then nobody sees it, and after a failure it
is gone. An error names the overlay's file and the key of the operation.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from zaffre.component.debsource import DebSourceEditor
from zaffre.component.faults import AlreadyError, NoMatchError, OperationError
from zaffre.component.goeditor import GoModuleEditor
from zaffre.component.rpmsource import RpmSourceEditor
from zaffre.component.sourcetree import SourceTree, copy_source
from zaffre.definition import Component, DebSource, GoModule, Overlay, RpmSource
from zaffre.definition.operations import Operation
from zaffre.errors import DefinitionError


class Editor(Protocol):
    """Changes an unpacked source of one kind. OperationError, NoMatchError or AlreadyError when it can not."""

    def change(self, operation: Operation) -> None: ...

    def finish(self, component: Component, *, maintainer: str) -> str | None:
        """Write version and changelog once all overlays were applied; the new version, or None if the build sets it."""
        ...


def editor_for(component: Component, tree: SourceTree, folder: Path) -> Editor:
    """What changes sources of the component's kind. `folder` is the component's, from which files come."""
    match component.source:
        case DebSource():
            return DebSourceEditor(tree, folder)
        case RpmSource():
            return RpmSourceEditor(tree, folder)
        case GoModule():
            return GoModuleEditor(tree, folder)
        case _:
            message = f"a {component.source.kind} is no source that overlays are applied to"
            raise AssertionError(message)


def apply_overlays(component: Component, *, folder: Path, source: Path, target: Path, maintainer: str) -> str | None:
    """Make `target`, which is not there yet, from the unpacked `source` and the overlays; `source` stays as it is.

    Returns the new version as the source says it (for RPM: the Release), None when that is the upstream's or the
    build's business. DefinitionError names overlay and key of what can not be done, and `target` is not made.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        copy = scratch / "source"
        copy_source(source, copy)
        version: str | None = None
        if component.overlays:
            with placed(component.file, 0, whole=True):
                editor = editor_for(component, SourceTree(copy), folder)
            for overlay in component.overlays:
                apply_overlay(editor, overlay)
            with placed(component.file, 0, whole=True):
                version = editor.finish(component, maintainer=maintainer)
        copy.rename(target)
        return version
    finally:
        shutil.rmtree(scratch)


def apply_overlay(editor: Editor, overlay: Overlay) -> None:
    for index, operation in enumerate(overlay.operations):
        with placed(overlay.file, index):
            editor.change(operation)


@contextmanager
def placed(file: str, index: int, *, whole: bool = False) -> Iterator[None]:
    """Turn an OperationError into a DefinitionError of an operation in a file, or of the `whole` file."""
    try:
        yield
    except OperationError as error:
        at = "" if whole else f": operations[{index}]" + (f".{error.key}" if error.key else "")
        near = error.near if isinstance(error, NoMatchError) else ()
        raise DefinitionError(
            error.brief,
            where=f"{file}{at}",
            details=error.details,
            resolution=f"near: {', '.join(near)}" if near else _resolution(error),
        ) from error


def _resolution(error: OperationError) -> str | None:
    if isinstance(error, AlreadyError):
        return "'zaffre component update' removes overlays that the upstream made obsolete"
    if isinstance(error, NoMatchError):
        return "'zaffre component update' moves overlays to another version of the upstream"
    return None
