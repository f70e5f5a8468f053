# SPDX-License-Identifier: Apache-2.0
"""`zaffre component update`: overlays moved onto the upstream's newest version."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import count, table
from zaffre.errors import ExitCode, WorldError

if TYPE_CHECKING:
    from zaffre.cli.making import Making
    from zaffre.component.update import Verdict
    from zaffre.definition import Component, GoModule
    from zaffre.digest import JSON
    from zaffre.upstream import Lock
    from zaffre.upstream.family import Repositories
    from zaffre.upstream.lock import LockedSource


@dataclass(frozen=True)
class Moved:
    """What becomes of one component. `note` says why nothing could be found out; `module` is what its definition has to
    name for the new version, `remarks` what has to be known of it, and `by_hand` why people have to write it.
    """

    component: Component
    old: str | None
    new: str | None
    verdicts: tuple[Verdict, ...] = ()
    changed: tuple[str, ...] = ()
    note: str = ""
    module: GoModule | None = None
    remarks: tuple[str, ...] = ()
    by_hand: tuple[str, ...] = ()

    @property
    def conflicts(self) -> int:
        return sum(verdict.fit.value == "conflict" for verdict in self.verdicts)


def update(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Components. Else: all that differ, and all Go modules."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove obsolete overlays without asking.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would become of each overlay.")] = False,
    json: JsonOption = False,
) -> None:
    """Move overlays onto the upstream's newest version, and say of each whether it is clean, obsolete or in conflict.

    Patches that only have to be made anew are; obsolete overlays go when you agree; a conflict is shown from three
    sides and left to you, with exit code 1. The lock stays: 'zaffre lock --update NAME' takes the new version. A Go
    module's version is in its definition, where the newest release that it may have is written, with its checksum.

    Examples: zaffre component update --dry-run; zaffre component update containerd --yes
    """
    from zaffre.definition import GoModule

    work = workspace(context)
    distribution = work.distribution
    wanted = (
        [distribution.component(name) for name in names]
        if names
        else [one for one in distribution.components.values() if one.overlays or isinstance(one.source, GoModule)]
    )
    found = _planned(work, wanted)
    if not dry_run:
        found = [_written(work, one, yes=yes, ask=not json and sys.stdin.isatty()) for one in found]
    work.emit([_plain(one) for one in found], lambda: _words(found), as_json=json)
    if any(one.conflicts for one in found):
        raise typer.Exit(ExitCode.FINDING)


def _planned(work: Workspace, wanted: list[Component]) -> list[Moved]:
    from zaffre.cli.making import Making
    from zaffre.cli.modules import plan_module
    from zaffre.component.pristine import can_be_examined
    from zaffre.definition import GoModule
    from zaffre.upstream import load_lock

    making = Making(work)
    lock = load_lock(work.distribution.lock_file)
    known: dict[str, Repositories] = {}
    found: list[Moved] = []
    for component in wanted:
        if isinstance(component.source, GoModule):
            found.append(plan_module(work, lock, component))
        elif not component.overlays:
            found.append(Moved(component, None, None, note="has no overlays, so there is nothing to move"))
        elif not can_be_examined(component):
            note = f"a {component.source.kind} has the version that its definition says"
            found.append(Moved(component, None, None, note=note))
        else:
            found.append(_plan(work, making, lock, component, known))
    return found


def _plan(
    work: Workspace, making: Making, lock: Lock | None, component: Component, known: dict[str, Repositories]
) -> Moved:
    from zaffre.cli.tools import tools_sandbox
    from zaffre.component.newest import newest_source
    from zaffre.component.obtaining import SourceGoneError
    from zaffre.component.pristine import pristine
    from zaffre.component.update import plan_update

    architecture = str(work.distribution.defaults.architecture)
    locked = next((one for one in lock.components if one.name == component.name), None) if lock else None
    before = locked.source if locked and locked.source.files else None
    upstream = work.distribution.upstream_of_component(component).name
    if upstream not in known:
        known[upstream] = _refreshed(work, making, lock, component, architecture)
    new = newest_source(component, known[upstream], architecture)
    old_version = before.version if before else None
    try:
        _fetch(work, making, new)
    except SourceGoneError as error:
        return Moved(component, old_version, new.version, note=f"{error.brief} ({error.where})")
    sandbox = tools_sandbox(work, lock)
    with ExitStack() as stack:
        scratch = stack.enter_context(work.store.scratch("update"))
        old = None
        if before is not None and _can_have(work, making, before):
            old = stack.enter_context(pristine(component, before, work.store, sandbox))
        verdicts = plan_update(
            component,
            folder=work.distribution.path(component.folder),
            old=old,
            new=stack.enter_context(pristine(component, new, work.store, sandbox)),
            scratch=scratch,
        )
    return Moved(component, old_version, new.version, verdicts)


def _refreshed(
    work: Workspace, making: Making, lock: Lock | None, component: Component, architecture: str
) -> Repositories:
    from zaffre.upstream.family import family_of

    upstream = work.distribution.upstream_of_component(component)
    seen = {(one.archive, one.suite): one.date for one in lock.suites if one.upstream == upstream.name} if lock else {}
    return family_of(upstream).refresh(
        making.mirrors,
        work.store,
        architectures=[architecture],
        now=work.now,
        not_before=seen,
        progress=work.progress,
        limits=None,
    )


def _fetch(work: Workspace, making: Making, source: LockedSource) -> None:
    from zaffre.component.obtaining import fetch_files

    fetch_files(
        source.files,
        title=f"source {source.name} {source.version}",
        mirrors=making.mirrors,
        store=work.store,
        progress=work.progress,
    )


def _can_have(work: Workspace, making: Making, source: LockedSource) -> bool:
    """The old source only helps to show conflicts, so one that no mirror has any more stops nobody."""
    try:
        _fetch(work, making, source)
    except WorldError as error:
        work.progress.note(f"{source.name} {source.version} can't be had, so changes can't be compared: {error.brief}")
        return False
    return True


def _written(work: Workspace, moved: Moved, *, yes: bool, ask: bool) -> Moved:
    from dataclasses import replace

    from zaffre.cli.modules import write_module
    from zaffre.component.outcome import Fit
    from zaffre.component.update import write_update

    stays = moved.module is not None and bool(moved.conflicts or moved.by_hand)
    obsolete = [one.overlay.file for one in moved.verdicts if one.fit is Fit.OBSOLETE and not stays]
    agreed = yes or (bool(obsolete) and ask and typer.confirm(f"Remove {', '.join(obsolete)}?", err=True))
    if stays or (moved.module is not None and obsolete and not agreed):
        return moved  # the definition stays at its version, which its overlays are for
    folder = work.distribution.path(moved.component.folder)
    changed = write_update(moved.component, moved.verdicts, folder=folder, obsolete=agreed)
    if moved.module is not None:
        return write_module(work, replace(moved, changed=changed), moved.module)
    return replace(moved, changed=changed)


def _plain(one: Moved) -> JSON:
    return {
        "component": one.component.name,
        "old": one.old,
        "new": one.new,
        "note": one.note,
        "remarks": list(one.remarks),
        "by_hand": list(one.by_hand),
        "module": {"version": one.module.version, "sum": one.module.sum} if one.module else None,
        "overlays": [
            {
                "overlay": verdict.overlay.file,
                "fit": verdict.fit.value,
                "why": verdict.outcome.why,
                "where": verdict.outcome.where,
                "details": verdict.outcome.details,
                "refreshed": sorted(verdict.refreshed),
                "conflicts": {path: list(places) for path, places in verdict.conflicts.items()},
            }
            for verdict in one.verdicts
        ],
        "changed": list(one.changed),
    }


def _words(found: list[Moved]) -> str:
    if not found:
        return "no component has overlays or is a Go module, so there is nothing to move"
    lines: list[str] = []
    for one in found:
        versions = f" {one.old or 'not locked'} -> {one.new}" if one.new else ""
        lines += [f"{one.component.name}{versions}{': ' + one.note if one.note else ''}"]
        rows = [(f"  {verdict.fit.value}", verdict.overlay.file, _told(verdict)) for verdict in one.verdicts]
        lines += [table(rows)] if rows else []
        for verdict in one.verdicts:
            if verdict.fit.value == "conflict":
                lines += ["", f"{verdict.outcome.where}: {verdict.outcome.why}", verdict.outcome.details]
                lines += [f"{path}\n{place}" for path, places in verdict.conflicts.items() for place in places]
        lines += [f"  {remark}" for remark in one.remarks]
        lines += [f"  by hand: {reason}" for reason in one.by_hand]
        lines += [f"  changed: components/{one.component.name}/{file}" for file in one.changed]
        lines.append("")
    bad = sum(one.conflicts for one in found)
    lines.append(f"{count(bad, 'conflict')} to solve" if bad else "no conflicts")
    return "\n".join(line for index, line in enumerate(lines) if line or (index and lines[index - 1]))


def _told(verdict: Verdict) -> str:
    return f"made anew: {', '.join(sorted(verdict.refreshed))}" if verdict.refreshed else verdict.outcome.why
