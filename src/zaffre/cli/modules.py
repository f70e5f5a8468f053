# SPDX-License-Identifier: Apache-2.0
"""What `zaffre drift` and `zaffre component update` learn of Go modules from the proxies that Go is set to."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from zaffre.cli.moving import Moved

if TYPE_CHECKING:
    from zaffre.cli.context import Workspace
    from zaffre.component.drift import Examined
    from zaffre.component.gomoving import Newest
    from zaffre.component.update import Verdict
    from zaffre.definition import Component, GoModule
    from zaffre.upstream import Lock


def newest_of(work: Workspace, lock: Lock | None, component: Component) -> Newest:
    """The version that an update would take. Raises WorldError when no proxy answers."""
    from zaffre.component.gomoving import newest_version
    from zaffre.component.goproxy import Modules
    from zaffre.component.goversions import toolchain_of
    from zaffre.upstream.lock import BUILD_PREFIX

    architecture = str(work.distribution.defaults.architecture)
    installed = lock.find(f"{BUILD_PREFIX}{component.name}", architecture) if lock else None
    toolchain = toolchain_of(installed) if installed else None
    return newest_version(_module_of(component), Modules(work.store), toolchain=toolchain)


def examined_module(work: Workspace, component: Component) -> Examined:
    """Try the overlays on the module at the version that the definition names; it is fetched if the store lacks it."""
    from zaffre.component.drift import Examined
    from zaffre.component.examine import examine
    from zaffre.component.gomoving import module_source
    from zaffre.component.goproxy import Modules
    from zaffre.component.pristine import pristine
    from zaffre.errors import WorldError
    from zaffre.sandbox import Sandbox

    try:
        source = module_source(_module_of(component), Modules(work.store), work.store, work.progress)
    except WorldError as error:
        return Examined(unknown=": ".join(one for one in (error.brief, error.details) if one))
    with pristine(component, source, work.store, Sandbox(None)) as tree, work.store.scratch("drift") as scratch:
        folder = work.distribution.path(component.folder)
        return Examined(outcomes=examine(component, folder=folder, source=tree, scratch=scratch))


def plan_module(work: Workspace, lock: Lock | None, component: Component) -> Moved:
    """What becomes of a Go module and its overlays at the newest version that it may have."""
    from zaffre.component.gomoving import at_version, pins_versions
    from zaffre.component.goproxy import Modules

    present = _module_of(component)
    newest = newest_of(work, lock, component)
    if newest.version == present.version:
        verdicts = _verdicts(work, component, component)
        return Moved(component, present.version, present.version, verdicts, remarks=newest.passed)
    target = at_version(component, newest.version, Modules(work.store))
    module = _module_of(target)
    folder = work.distribution.path(component.folder)
    unproved = (
        f"the checksum is of what the module proxy gave: `go mod download -json {module.module}@{module.version}` "
        "holds it against Go's checksum database"
    )
    by_hand = tuple(
        f"{overlay.file} changes go.mod or go.sum: make the versions and checksums that it names anew for "
        f'{module.version}, then write version = "{module.version}" and sum = "{module.sum}" into {component.file}'
        for overlay in component.overlays
        if pins_versions(overlay, folder)
    )
    return Moved(
        component,
        present.version,
        module.version,
        _verdicts(work, component, target),
        module=module,
        remarks=(*newest.passed, unproved),
        by_hand=by_hand,
    )


def _verdicts(work: Workspace, present: Component, target: Component) -> tuple[Verdict, ...]:
    from zaffre.component.gomoving import module_source
    from zaffre.component.goproxy import Modules
    from zaffre.component.pristine import pristine
    from zaffre.component.update import plan_update
    from zaffre.sandbox import Sandbox

    if not present.overlays:
        return ()
    with ExitStack() as stack:
        old, new = (
            stack.enter_context(
                pristine(
                    one,
                    module_source(_module_of(one), Modules(work.store), work.store, work.progress),
                    work.store,
                    Sandbox(None),
                )
            )
            for one in (present, target)
        )
        scratch = stack.enter_context(work.store.scratch("update"))
        folder = work.distribution.path(present.folder)
        return plan_update(present, folder=folder, old=old, new=new, scratch=scratch)


def write_module(work: Workspace, moved: Moved, module: GoModule) -> Moved:
    """Write the new version and its checksum into the definition, where its text shows which words those are."""
    from zaffre.component.gomoving import with_version

    path = work.distribution.path(moved.component.file)
    text = with_version(path.read_text(encoding="utf-8"), _module_of(moved.component), module)
    if text is None:
        reason = (
            f"{moved.component.file} does not show plainly where its version and checksum are: write version = "
            f'"{module.version}" and sum = "{module.sum}" there'
        )
        return replace(moved, by_hand=(reason,))
    whole = path.with_name(f".{path.name}.new")
    whole.write_text(text, encoding="utf-8")
    whole.replace(path)
    return replace(moved, changed=(*moved.changed, path.name))


def _module_of(component: Component) -> GoModule:
    from zaffre.definition import GoModule

    if not isinstance(component.source, GoModule):
        message = f"a {component.source.kind} is no Go module"
        raise TypeError(message)
    return component.source
