# SPDX-License-Identifier: Apache-2.0
"""Moves the overlays of a component onto another version of the upstream's source.

Each overlay is tried on the new source, after those before it. A patch that does not fit as it is, but merges with
what the upstream changed, is made anew; where both changed the same lines, the three versions are shown, and
somebody has to decide. Planning changes nothing; `write_update` does what was planned, when it was agreed to.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from zaffre.component import patch as patches
from zaffre.component.examine import Workpiece, attempt, workpiece
from zaffre.component.outcome import Fit, Outcome
from zaffre.component.threeway import merge
from zaffre.definition import Component, Overlay
from zaffre.definition.operations import FileReplace, PatchAdd, SearchReplace


@dataclass(frozen=True)
class Verdict:
    """`refreshed` are patches made anew, by their names in the component's folder; `conflicts` places, by file."""

    outcome: Outcome
    refreshed: Mapping[str, bytes] = field(default_factory=dict)
    conflicts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def fit(self) -> Fit:
        return self.outcome.fit

    @property
    def overlay(self) -> Overlay:
        return self.outcome.overlay


def plan_update(
    component: Component, *, folder: Path, old: Path | None, new: Path, scratch: Path
) -> tuple[Verdict, ...]:
    """What becomes of each overlay. `old` and `new` are the upstream's unpacked sources; `folder` is the component's.

    Without `old`, the three versions can't be compared, and what does not fit is a conflict.
    """
    with tempfile.TemporaryDirectory(prefix="move-", dir=scratch) as made:
        staged = Path(made, "component")
        shutil.copytree(folder, staged, symlinks=True)
        with workpiece(component, staged, new, scratch) as fresh, _maybe(component, folder, old, scratch) as stale:
            return tuple(_moved(component, overlay, staged, fresh, stale) for overlay in component.overlays)


@contextmanager
def _maybe(component: Component, folder: Path, source: Path | None, scratch: Path) -> Iterator[Workpiece | None]:
    if source is None:
        yield None
        return
    with workpiece(component, folder, source, scratch) as piece:
        yield piece


def _moved(component: Component, overlay: Overlay, staged: Path, fresh: Workpiece, stale: Workpiece | None) -> Verdict:
    paths = _paths(overlay, staged)
    before = {path: stale.content(path) for path in paths} if stale else {}
    fitted = attempt(stale, component, overlay).fit is Fit.CLEAN if stale else False
    outcome = attempt(fresh, component, overlay)
    if outcome.fit is not Fit.CONFLICT or stale is None or not fitted:
        return Verdict(outcome)
    merged: dict[str, tuple[bytes, bytes]] = {}
    conflicts: dict[str, tuple[str, ...]] = {}
    for path in paths:
        base, ours, theirs = before[path], stale.content(path), fresh.content(path)
        if base is None or ours is None or theirs is None:
            return Verdict(outcome)
        found = merge(base, theirs, ours)
        if found.content is None:
            conflicts[path] = found.conflicts
        else:
            merged[path] = (theirs, found.content)
    if conflicts or not all(isinstance(one, PatchAdd) for one in overlay.operations):
        return Verdict(outcome, conflicts=conflicts)
    if all(theirs == content for theirs, content in merged.values()):
        return Verdict(replace(outcome, fit=Fit.OBSOLETE, why="the upstream's new version has all of it", details=""))
    return _rebased(component, overlay, staged, fresh, merged) or Verdict(outcome)


def _paths(overlay: Overlay, staged: Path) -> tuple[str, ...]:
    """Files of the source whose lines an overlay changes."""
    found: list[str] = []
    for operation in overlay.operations:
        match operation:
            case PatchAdd(file=file):
                try:
                    found += sorted(patches.paths_of(patches.parse((staged / file).read_bytes())))
                except patches.PatchError:
                    continue  # trying it will say what is wrong
            case SearchReplace(path=path) | FileReplace(path=path):
                found.append(path)
            case _:
                pass
    return tuple(dict.fromkeys(found))


def _rebased(
    component: Component,
    overlay: Overlay,
    staged: Path,
    fresh: Workpiece,
    merged: Mapping[str, tuple[bytes, bytes]],
) -> Verdict | None:
    """Make the overlay's patches anew and try them; None if they share a file, so that none has it alone."""
    refreshed: dict[str, bytes] = {}
    files = [one.file for one in overlay.operations if isinstance(one, PatchAdd)]
    touched: list[str] = []
    for file in files:
        text = (staged / file).read_bytes()
        paths = sorted(patches.paths_of(patches.parse(text)))
        touched += paths
        changes = b"".join(patches.unified(*merged[path], path) for path in paths)
        if changes:
            refreshed[file] = patches.description_of(text) + changes
    if len(touched) != len(set(touched)) or len(refreshed) != len(files):
        return None
    kept = {file: (staged / file).read_bytes() for file in files}
    for file, content in refreshed.items():
        (staged / file).write_bytes(content)
    outcome = attempt(fresh, component, overlay)
    if outcome.fit is not Fit.CLEAN:
        for file, content in kept.items():
            (staged / file).write_bytes(content)
        return None
    return Verdict(outcome, refreshed=refreshed)


def write_update(component: Component, verdicts: Sequence[Verdict], *, folder: Path, obsolete: bool) -> tuple[str, ...]:
    """Write patches that were made anew and, if `obsolete` is agreed to, remove overlays that are not needed.

    Files that only a removed overlay brought go with it. Returns the changed files, relative to the component's
    folder. Each file is replaced whole.
    """
    changed: list[str] = []
    for verdict in verdicts:
        for file, content in verdict.refreshed.items():
            whole = (folder / file).with_name(f".{Path(file).name}.new")
            whole.write_bytes(content)
            whole.replace(folder / file)
            changed.append(file)
    gone = [one.overlay for one in verdicts if obsolete and one.fit is Fit.OBSOLETE]
    stay = {file for one in component.overlays if one not in gone for file in one.named_files()}
    for overlay in gone:
        path = Path(overlay.file).relative_to(component.folder)
        (folder / path).unlink()
        changed.append(path.as_posix())
        for file in overlay.named_files():
            if file not in stay:
                (folder / file).unlink()
                changed.append(file)
    return tuple(changed)
