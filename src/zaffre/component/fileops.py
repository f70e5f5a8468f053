# SPDX-License-Identifier: Apache-2.0
"""Operations on the files of a source, which are the same for every kind of source."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

from zaffre.component import patch as patches
from zaffre.component.faults import AlreadyError, NoMatchError, OperationError
from zaffre.component.sourcetree import SourceTree
from zaffre.definition.operations import FileAdd, FileRemove, FileRename, FileReplace, SearchReplace

FileOperation = FileAdd | FileReplace | FileRemove | FileRename | SearchReplace


def change_files(tree: SourceTree, operation: FileOperation, folder: Path) -> None:
    """Do one operation. `folder` is the component's, from which content comes."""
    match operation:
        case FileAdd(path=path, file=file):
            content, executable = _brought(folder / file)
            if tree.exists(path):
                if tree.read(path) == content:
                    raise AlreadyError("path", f"the source has {path!r} with this very content")
                raise OperationError("path", f"the source has {path!r} already", details="file-replace replaces it")
            tree.write(path, content, executable=executable)
        case FileReplace(path=path, file=file):
            content, executable = _brought(folder / file)
            if tree.read(path) == content:
                raise AlreadyError("path", f"the source has {path!r} with this very content")
            tree.write(path, content, executable=executable)
        case FileRemove(path=path):
            tree.remove(path)
        case FileRename(path=path, to=to):
            if not tree.exists(path) and tree.exists(to):
                raise AlreadyError("path", f"the source has {to!r} and no {path!r}")
            content, executable = tree.read(path), tree.executable(path)
            if tree.exists(to):
                raise OperationError("to", f"the source has {to!r} already")
            tree.write(to, content, executable=executable, key="to")
            tree.remove(path)
        case SearchReplace():
            _search_replace(tree, operation)


def _brought(file: Path) -> tuple[bytes, bool]:
    return file.read_bytes(), bool(file.stat().st_mode & 0o100)


def _search_replace(tree: SourceTree, operation: SearchReplace) -> None:
    text = tree.text(operation.path)
    form = operation.search if operation.regex else re.escape(operation.search)
    found = [*re.finditer(form, text, re.MULTILINE)]
    if not found:
        message = f"{operation.search!r} is not found in {operation.path}"
        lines = [line.strip() for line in text.splitlines()]
        first = operation.search.strip().partition("\n")[0]
        raise NoMatchError("search", message, near=get_close_matches(first, lines, n=3, cutoff=0.6))
    if operation.count is not None and len(found) != operation.count:
        raise NoMatchError("count", f"{operation.search!r} is found {len(found)} times, not {operation.count}")
    new = "".join(_replaced(text, found, operation))
    if new == text:
        raise AlreadyError("replace", f"{operation.path} is the same after the replacement")
    tree.write(operation.path, new.encode())


def _replaced(text: str, found: list[re.Match[str]], operation: SearchReplace) -> list[str]:
    pieces: list[str] = []
    done = 0
    for match in found:
        pieces += [
            text[done : match.start()],
            match.expand(operation.replace) if operation.regex else operation.replace,
        ]
        done = match.end()
    return [*pieces, text[done:]]


def read_patch(file: Path, *, key: str = "file") -> patches.Patch:
    """The patch of a component; OperationError with its line if it is malformed."""
    try:
        return patches.parse(file.read_bytes())
    except patches.PatchError as error:
        place = f", {error.where}" if error.where else ""
        raise OperationError(key, f"{file.name}{place}: {error.brief}") from error


def content_of(tree: SourceTree, patch: patches.Patch, *, key: str) -> dict[str, bytes]:
    """Those files of the source that a patch is about."""
    return {path: tree.read(path, key=key) for path in sorted(patches.paths_of(patch)) if tree.exists(path)}


def apply_patch(tree: SourceTree, patch: patches.Patch, *, key: str = "file") -> None:
    """Apply all of a patch to the source or nothing. AlreadyError if the source contains it."""
    files = content_of(tree, patch, key=key)
    try:
        changed = patches.apply(patch, files)
    except patches.RejectedError as error:
        if contains(patch, files):
            raise AlreadyError(key, "the source contains this patch: it applies in reverse") from error
        raise NoMatchError(key, error.brief, details=error.details) from error
    for path, content in changed.items():
        if content is None:
            tree.remove(path, key=key)
        else:
            tree.write(path, content, key=key)


def contains(patch: patches.Patch, files: dict[str, bytes]) -> bool:
    """Whether the files are as the patch makes them: it applies in reverse, and not forwards."""
    try:
        patches.apply(patches.reverse(patch), files)
    except patches.RejectedError:
        return False
    try:
        patches.apply(patch, files)
    except patches.RejectedError:
        return True
    return False
