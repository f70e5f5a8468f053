# SPDX-License-Identifier: Apache-2.0
"""`zaffre component new`, `list`, `show` and `why`: what is built instead of inherited, and what can be said of it."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import count, table

if TYPE_CHECKING:
    from zaffre.definition import Component, Overlay
    from zaffre.digest import JSON
    from zaffre.upstream import Lock, LockedComponent

ComponentArgument = Annotated[str, typer.Argument(metavar="NAME", help="A component ('zaffre component list').")]
ArchOption = Annotated[
    str | None, typer.Option("--arch", metavar="ARCH", help="amd64 or arm64. Else: the definition's default.")
]


def new(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the component is called.")],
    package: Annotated[
        str | None,
        typer.Option("--from", metavar="PACKAGE", help="The upstream's package, by its source's name. Else: NAME."),
    ] = None,
    upstream: Annotated[
        str | None, typer.Option(metavar="NAME", help="The upstream that has it. Else: the definition's default.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Start a component from a package of the upstream, with a first overlay that loads as it is.

    Examples: zaffre component new expat; zaffre component new tls --from openssl
    """
    from zaffre.component.scaffold import new_component, source_of
    from zaffre.upstream import load_lock

    work = workspace(context)
    distribution = work.distribution
    chosen = upstream or distribution.defaults.upstream
    source = source_of(package or name, load_lock(distribution.lock_file), chosen)
    files = new_component(distribution, name, source, upstream=upstream, today=work.now.date())
    note = f"'{source.given}' is built from the source '{source.package}'.\n" if source.given else ""
    following = [
        (f"  edit components/{name}/overlays", "what differs, and why"),
        (f"  zaffre lock --component {name}", "choose its source, and what it is built with"),
        (f"  zaffre component build {name}", ""),
    ]
    work.emit(
        {"component": name, "source": source.package, "files": list(files)},
        lambda: "\n".join([f"{note}made:", *(f"  {file}" for file in files), "", "Next:", table(following)]),
        as_json=json,
    )


def list_components(context: typer.Context, json: JsonOption = False) -> None:
    """List the components: what each is built from, how far it is from its upstream, and what became of it.

    Example: zaffre component list
    """
    from zaffre.upstream import load_lock

    work = workspace(context)
    lock = load_lock(work.distribution.lock_file)
    rows = [(one, _locked(lock, one.name)) for one in work.distribution.components.values()]
    value: list[JSON] = [
        {
            "name": one.name,
            "kind": one.source.kind,
            "source": _source(one),
            "overlays": len(one.overlays),
            "version": locked.source.version if locked else None,
            "outcome": locked.outcome.value if locked else None,
        }
        for one, locked in rows
    ]
    work.emit(value, lambda: _list_words(rows), as_json=json)


def _list_words(rows: list[tuple[Component, LockedComponent | None]]) -> str:
    if not rows:
        return "no components: every package is the upstream's ('zaffre component new' starts one)"
    cells = [
        (
            one.name,
            one.source.kind,
            _source(one),
            locked.source.version if locked else "",
            count(len(one.overlays), "overlay") if one.overlays else "",
            locked.outcome.value if locked else "not locked",
        )
        for one, locked in rows
    ]
    return table(cells, headers=("COMPONENT", "KIND", "SOURCE", "VERSION", "CHANGES", "STATE"))


def _source(component: Component) -> str:
    from zaffre.definition import DebBinary, DebSource, FilesSource, GoModule

    match component.source:
        case DebSource(package=package):
            return package
        case DebBinary(packages=packages):
            return ", ".join(packages)
        case GoModule(module=module):
            return module
        case FilesSource(tree=tree):
            return f"{component.folder}/{tree}"
        case other:
            return other.package or f"{component.folder}/{other.spec}"


def _locked(lock: Lock | None, name: str) -> LockedComponent | None:
    return next((one for one in lock.components if one.name == name), None) if lock else None


def show(context: typer.Context, name: ComponentArgument, json: JsonOption = False) -> None:
    """Print what a component is built from, every overlay with its reason, and the packages that it gives.

    Example: zaffre component show containerd
    """
    from zaffre.upstream import load_lock

    work = workspace(context)
    component = work.distribution.component(name)
    locked = _locked(load_lock(work.distribution.lock_file), name)
    value: JSON = {
        "definition": component.model_dump(mode="json"),
        "upstream": work.distribution.upstream_of_component(component).name,
        "locked": locked.model_dump(mode="json", exclude={"packages"}) if locked else None,
        "packages": [one.package.model_dump(mode="json") for one in locked.packages] if locked else [],
    }
    work.emit(value, lambda: _show_words(work, component, locked), as_json=json)


def _show_words(work: Workspace, component: Component, locked: LockedComponent | None) -> str:
    upstream = work.distribution.upstream_of_component(component).name
    lines = [
        f"{component.name}: {component.description}",
        f"  from {component.source.kind} {_source(component)} ({upstream})",
    ]
    if locked:
        lines.append(f"  locked: {locked.source.version}, {locked.outcome.value}")
        lines += [f"  {locked.note}"] if locked.note else []
        lines.append(f"  gives: {', '.join(locked.gives)}")
    if not component.overlays:
        lines.append("  no overlays: it is built as the upstream has it")
    for overlay in component.overlays:
        lines += ["", *_overlay_words(overlay)]
    return "\n".join(lines)


def _overlay_words(overlay: Overlay) -> list[str]:
    until = f"{overlay.until}" if isinstance(overlay.until, dt.date) else f"version {overlay.until}"
    lines = [
        overlay.file,
        f"  {overlay.category.value}: {overlay.reason}",
        f"  upstream: {overlay.upstream_status.value}; since {overlay.since}, until {until}",
        f"  see {', '.join(overlay.links)}",
    ]
    for operation in overlay.operations:
        told = operation.model_dump(mode="json", exclude={"op"}, exclude_none=True, exclude_defaults=True)
        words = ", ".join(f"{key} {value!r}" for key, value in told.items())
        lines.append(f"  {operation.op}: {words}")
    return lines


def why(context: typer.Context, name: ComponentArgument, arch: ArchOption = None, json: JsonOption = False) -> None:
    """Say which input of a component changed since it was last built in this store.

    Example: zaffre component why kubelet
    """
    work = workspace(context)
    lines = _why(work, name, arch)
    told = "\n".join([f"'{name}' would be built because", *(f"  {line}" for line in lines)])
    work.emit(
        {"component": name, "changed": list(lines)},
        lambda: told if lines else f"nothing has changed since '{name}' was built",
        as_json=json,
    )


def _why(work: Workspace, name: str, arch: str | None) -> list[str]:
    from zaffre.cli.tools import tools_sandbox
    from zaffre.component.engine import build_action
    from zaffre.definition import component_inputs
    from zaffre.errors import FindingError
    from zaffre.store import explain_difference
    from zaffre.upstream import load_lock

    component = work.distribution.component(name)
    architecture = str(work.distribution.architecture(arch))
    lock = load_lock(work.distribution.lock_file)
    locked = lock.component(name, architecture) if lock else None
    if lock is None or locked is None:
        raise FindingError(
            f"the component {name!r} is not in the lock",
            where=f"{component.folder} ({architecture})",
            resolution=f"run `zaffre lock --component {name}`: the upstream's own sources are locked on request",
        )
    installed = lock.find(locked.build_set, architecture)
    sandbox = tools_sandbox(work, lock)
    action = build_action(locked, installed, sandbox, component_inputs(work.distribution, component))
    lines = explain_difference(work.store.recall(action.label), action.inputs)
    if not lines and work.store.lookup(action.key) is None:
        return ["its packages are no longer in the store"]
    return lines
