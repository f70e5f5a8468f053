# SPDX-License-Identifier: Apache-2.0
"""`zaffre component build` and `zaffre component log`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import amount, count, table
from zaffre.errors import DefinitionError, ExitCode, FindingError

if TYPE_CHECKING:
    from zaffre.component.engine import Built
    from zaffre.component.twice import Twice
    from zaffre.digest import JSON
    from zaffre.upstream import Lock, LockedComponent

ArchOption = Annotated[
    str | None, typer.Option("--arch", metavar="ARCH", help="amd64 or arm64. Else: the definition's default.")
]


def build(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME]...", help="Components. Else: all that are locked.")
    ] = None,
    arch: ArchOption = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Build anew what is in the store already.")] = False,
    scheduler: Annotated[
        str | None,
        typer.Option(metavar="URL", help="A Dask scheduler whose workers see this store. Else: this machine alone."),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Build components from the lock, each in a clean root without a network, after those it is built with.

    As many at once as the machine has processors, or the scheduler has workers. The packages go into the store; what
    the lock names must come out as it is locked, bit for bit.

    Examples: zaffre component build kubelet; zaffre component build --scheduler tcp://farm:8786
    """
    from zaffre.cli.making import Making

    work = workspace(context)
    making = Making(work)
    chosen = _chosen(work, making.lock, names or [], arch)
    if len(chosen) == 1 and scheduler is None:
        done = [(chosen[0], making.component(chosen[0], use_cache=not no_cache))]
    else:
        built = making.components(chosen, scheduler=scheduler, use_cache=not no_cache)
        done = [(one, built[one.identity]) for one in chosen]
    work.emit([_plain(one, built) for one, built in done], lambda: _words(done), as_json=json)


def _chosen(work: Workspace, lock: Lock, names: list[str], arch: str | None) -> list[LockedComponent]:
    from zaffre.upstream import Outcome

    architecture = str(work.distribution.architecture(arch))
    found = []
    for name in names or [one.name for one in lock.components if one.architecture == architecture]:
        work.distribution.component(name)
        locked = lock.component(name, architecture)
        if locked is None:
            raise FindingError(
                f"the component '{name}' is not in the lock",
                where=f"components/{name} ({architecture})",
                resolution=f"run `zaffre lock --component {name}`: the upstream's own sources are locked on request",
            )
        if locked.outcome == Outcome.UPSTREAM_BINARY:
            if names:
                raise FindingError(
                    f"the component '{name}' is not built: {locked.note}",
                    where=f"components/{name}",
                    resolution=f"run `zaffre lock --update {name}` to look for the source again",
                )
            work.progress.note(f"{name}: {locked.note}")
            continue
        found.append(locked)
    return found


def _words(done: list[tuple[LockedComponent, Built]]) -> str:
    lines = []
    for one, built in done:
        told = (
            "in the store" if built.cached else f"built in {built.wall_seconds:.0f} s, {built.cpu_seconds:.0f} s of CPU"
        )
        lines.append(f"{one.name} {one.source.version}: {count(len(built.packages), 'package')}, {told}")
        lines += [f"  because {reason}" for reason in built.why]
        rows = [
            (f"  {each.package.name}", each.package.version, amount(each.package.size), each.package.sha256[:16])
            for each in built.packages
        ]
        lines.append(table(rows, right=(2,)))
    return "\n".join(lines) or "the lock has no components"


def _plain(one: LockedComponent, built: Built) -> JSON:
    return {
        "name": one.name,
        "architecture": one.architecture,
        "source": one.source.version,
        "cached": built.cached,
        "wall_seconds": round(built.wall_seconds, 3),
        "cpu_seconds": round(built.cpu_seconds, 3),
        "why": list(built.why),
        "packages": [each.package.model_dump(mode="json") for each in built.packages],
    }


def reproduce_component(work: Workspace, name: str, arch: str | None, *, as_json: bool) -> None:
    """Build a component twice and print what differs; exit code 1 if anything does."""
    from zaffre.cli.making import Making
    from zaffre.component.twice import Recipe, build_twice

    making = Making(work)
    (locked,) = _chosen(work, making.lock, [name], arch)
    installed = making.lock.find(locked.build_set, locked.architecture)
    if installed is not None:
        making.fetch(installed.packages)
    bench = making.engine.bench(locked, making.sandbox, created=making.lock.created)
    recipe = Recipe(
        distribution=work.distribution.root.resolve(),
        locked=locked,
        installed=installed,
        tools=making.sandbox.tools,
        store=work.store.root,
        created=making.lock.created,
    )
    found = build_twice(bench, recipe, progress=work.progress)
    work.emit(
        {
            "reproducible": not found.differences,
            "artifacts": dict(found.packages),
            "differences": [{"artifact": one, "causes": list(why)} for one, why in found.differences.items()],
        },
        lambda: _comparison(name, found),
        as_json=as_json,
    )
    if found.differences:
        raise typer.Exit(ExitCode.FINDING)


def _comparison(name: str, found: Twice) -> str:
    rows = [("differs" if one in found.differences else "same", one, digest) for one, digest in found.packages.items()]
    lines = [table(rows)]
    for one, causes in found.differences.items():
        lines += ["", f"{one}:", *(f"  {cause}" for cause in causes)]
    different = count(len(found.differences), "package")
    verdict = f"{different} differ" if found.differences else "two builds from nothing are bit for bit the same"
    return "\n".join([*lines, "", f"{name}: {verdict}"])


def log(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A component.")],
    arch: ArchOption = None,
) -> None:
    """Print the log of a component's last build on this machine, whether it failed or not.

    Example: zaffre component log kubelet | less
    """
    from zaffre.component.buildroot import log_label
    from zaffre.digest import Sha256

    work = workspace(context)
    architecture = str(work.distribution.architecture(arch))
    work.distribution.component(name)
    kept = work.store.recall(log_label(work.distribution, name, architecture))
    digest = Sha256(str(kept["log"])) if kept else None
    if digest is None or not work.store.has(digest):
        raise DefinitionError(
            f"the store has no log of '{name}'",
            where=f"components/{name} ({architecture})",
            resolution=f"'zaffre component build {name} --no-cache' builds it; what is only packed anew has no log",
        )
    typer.echo(work.store.path(digest).read_text(encoding="utf-8", errors="replace"), nl=False)
