# SPDX-License-Identifier: Apache-2.0
"""`zaffre drift`: what differs from the upstreams, and whether it still has to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import count, table
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from zaffre.component.drift import Deviation, Drift, Examined
    from zaffre.component.gomoving import Newest
    from zaffre.definition import Component, Distribution
    from zaffre.digest import JSON
    from zaffre.upstream import Lock
    from zaffre.upstream.lock import LockedSource


def drift(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Components. Else: all.")] = None,
    json: JsonOption = False,
) -> None:
    """List every deviation from the upstreams with its reason, age and state. Exit code 1 if one has to be looked at.

    Offline, but for Go modules: it works from the definition, the lock and the sources in the store. What they can't
    tell is unknown. What there is of a Go module is asked of the module proxy that Go is set to.

    Examples: zaffre drift; zaffre drift containerd --json
    """
    from zaffre.component.drift import drift as judge
    from zaffre.upstream import load_lock

    work = workspace(context)
    distribution = work.distribution
    lock = load_lock(distribution.lock_file)
    components = [distribution.component(name) for name in names] if names else [*distribution.components.values()]
    newest = _newest(work, lock, components)
    found = judge(
        components,
        today=work.now.date(),
        versions=_versions(distribution, lock) | {name: one.version for name, one in newest.items()},
        examined=lambda component: _examined(work, lock, component),
    )
    newer = [_Newer(one, newest[one.name]) for one in components if one.name in newest]
    work.emit(_plain(found, newer), lambda: _words(found, newer), as_json=json)
    if found.findings:
        raise typer.Exit(ExitCode.FINDING)


@dataclass(frozen=True)
class _Newer:
    """What the upstream of a Go module has."""

    component: Component
    newest: Newest

    @property
    def version(self) -> str:
        """The version that the definition names."""
        source = self.component.source
        return source.version if source.kind == "go-module" else ""

    @property
    def lines(self) -> list[str]:
        lines = [f"{self.component.name} {self.version}: {one}" for one in self.newest.passed]
        if self.newest.version != self.version:
            name = self.component.name
            lines.append(f"{name} {self.version}: {self.newest.version} is there (zaffre component update {name})")
        return lines


def _newest(work: Workspace, lock: Lock | None, components: list[Component]) -> dict[str, Newest]:
    """Of the Go modules among them, as far as a proxy answers."""
    found: dict[str, Newest] = {}
    for component in components:
        if component.source.kind != "go-module":
            continue
        from zaffre.cli.modules import newest_of
        from zaffre.errors import WorldError

        try:
            found[component.name] = newest_of(work, lock, component)
        except WorldError as error:
            work.progress.note(f"{component.name}: whether there is a newer version is not known: {error.brief}")
    return found


def _versions(distribution: Distribution, lock: Lock | None) -> dict[str, str]:
    if not any(component.overlays for component in distribution.components.values()):
        return {}
    from zaffre.component.upstreamversion import upstream_versions

    return upstream_versions(distribution, lock)


def _examined(work: Workspace, lock: Lock | None, component: Component) -> Examined:
    """Try the overlays on the source that the lock names, if the store has it."""
    if component.source.kind == "go-module":
        from zaffre.cli.modules import examined_module

        return examined_module(work, component)
    return _tried(work, lock, component)


def _tried(work: Workspace, lock: Lock | None, component: Component) -> Examined:
    from zaffre.component.drift import Examined
    from zaffre.component.examine import examine
    from zaffre.component.pristine import can_be_examined
    from zaffre.upstream.lock import Outcome

    mine = [one for one in lock.components if one.name == component.name] if lock else []
    for one in mine:
        if one.outcome is Outcome.UPSTREAM_BINARY:
            return Examined(unapplied=one.note or "the upstream's binary is taken")
    if not can_be_examined(component):
        return Examined(unknown=f"the source of a {component.source.kind} is looked at by its build alone")
    if lock is None or not mine:
        return Examined(unknown="the lock does not have it ('zaffre lock')")
    locked = mine[0]
    if not locked.source.files:
        return Examined(unknown=locked.note or "its source can not be had")
    tree = _unpacked(work, lock, component, locked.source)
    if isinstance(tree, str):
        return Examined(unknown=tree)
    with tree as source, work.store.scratch("drift") as scratch:
        folder = work.distribution.path(component.folder)
        return Examined(outcomes=examine(component, folder=folder, source=source, scratch=scratch))


def _unpacked(
    work: Workspace, lock: Lock, component: Component, source: LockedSource
) -> AbstractContextManager[Path] | str:
    """The upstream's source from the store, or why it can't be had without the network."""
    from zaffre.cli.tools import locked_tools, tools_sandbox
    from zaffre.component.pristine import held, missing_files, pristine
    from zaffre.upstream.missing import missing

    if not work.store_path.is_dir():
        return "there is no store yet that could have its source"
    tree = held(component, source, work.store)
    if tree is not None:
        return tree
    if lacking := missing_files(source, work.store):
        return f"the store does not have its source ({', '.join(lacking)})"
    if missing(locked_tools(work, lock).packages, work.store):
        return "the store does not have the tools to unpack its source"
    return pristine(component, source, work.store, tools_sandbox(work, lock))


def _plain(found: Drift, newer: list[_Newer]) -> JSON:
    return {
        "components": found.components,
        "inherited": found.inherited,
        "own": found.own,
        "deviations": [
            {
                "component": one.component,
                "overlay": one.overlay,
                "state": one.state.value,
                "because": one.because,
                "reason": one.reason,
                "category": one.category.value,
                "upstream_status": one.upstream_status.value,
                "links": list(one.links),
                "since": one.since.isoformat(),
                "age_days": one.age_days,
                "until": one.until.isoformat() if isinstance(one.until, dt.date) else one.until,
                "upstream_version": one.version,
            }
            for one in found.deviations
        ],
        "modules": [
            {
                "component": one.component.name,
                "version": one.version,
                "newest": one.newest.version,
                "passed": list(one.newest.passed),
            }
            for one in newer
        ],
    }


def _words(found: Drift, newer: list[_Newer]) -> str:
    own = f", {found.own} of our own" if found.own else ""
    title = f"{count(found.components, 'component')}: {found.inherited} as the upstream has it{own}"
    modules = [line for one in newer for line in one.lines]
    if not found.deviations:
        return "\n".join([f"{title}; no deviations", *(["", *modules] if modules else [])])
    lines = [f"{title}; {count(len(found.deviations), 'deviation')}", ""]
    rows = [
        (one.state.value, one.component, _name(one), f"{one.age_days} d", str(one.until), one.upstream_status.value)
        for one in found.deviations
    ]
    lines.append(table(rows, headers=("STATE", "COMPONENT", "OVERLAY", "AGE", "UNTIL", "UPSTREAM"), right=(3,)))
    for one in found.deviations:
        lines += ["", f"{one.component} {_name(one)}, for {one.category.value}: {one.reason}"]
        lines += [f"  {one.state.value}: {line}" if line else "" for line in one.because.splitlines()]
    lines += ["", *modules] if modules else []
    bad = len(found.findings)
    verdict = f"{bad} of {count(len(found.deviations), 'deviation')} must be looked at" if bad else ""
    return "\n".join([*lines, "", verdict or "nothing has to be looked at"])


def _name(one: Deviation) -> str:
    return one.overlay.rpartition("/")[2].removesuffix(".toml")
