# SPDX-License-Identifier: Apache-2.0
"""`zaffre lock`: choose exact packages, and say what changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace
from zaffre.cli.output import amount, count, table
from zaffre.errors import ExitCode

if TYPE_CHECKING:
    from zaffre.digest import JSON
    from zaffre.upstream.diff import SetDiff
    from zaffre.upstream.locking import Locking


def lock(
    context: typer.Context,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME", help="With --update: only these packages (or sources).")
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Take the newest versions instead of the locked ones.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only say whether the lock answers the definition. Offline; 1 if not.")
    ] = False,
    dropped: Annotated[
        bool,
        typer.Option("--dropped", help="Fetch all locked files; lock anew those that no mirror has any more."),
    ] = False,
    arch: Annotated[
        list[str] | None, typer.Option("--arch", metavar="ARCH", help="Lock for this architecture too. Repeatable.")
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option("--image", metavar="NAME", help="Only this image, with its base; all else stays. Repeatable."),
    ] = None,
    component: Annotated[
        list[str] | None,
        typer.Option(
            "--component",
            metavar="NAME",
            help="Lock this component too, though it is the upstream's own. Repeatable.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and write nothing.")] = False,
    json: JsonOption = False,
) -> None:
    """Choose the exact packages of every image and of the repository, and write zaffre.lock.

    The only command that asks the network what is new. Locked versions stay as they are unless --update frees them.

    Examples: zaffre lock; zaffre lock --update; zaffre lock --update openssl containerd; zaffre lock --check
    """
    work = workspace(context)
    asked = [flag for flag, given in (("--check", check), ("--dropped", dropped), ("--update", update)) if given]
    if len(asked) > 1:
        raise typer.BadParameter(
            "each says what to do, so only one of them can be given", param_hint=" and ".join(asked)
        )
    if names and not update:
        raise typer.BadParameter("names of packages go with --update", param_hint="NAME")
    if check and (dry_run or arch or component or image):
        raise typer.BadParameter("--check writes nothing, and looks at all that is locked", param_hint="--check")
    if check:
        _check(work, as_json=json)
        return
    if dropped:
        names, update = _dropped(work, image), True
        if not names:
            work.emit({"changed": False, "dropped": []}, lambda: "every locked file is in the store", as_json=json)
            return
    _lock(
        work,
        update=(names or []) if update else None,
        architectures=arch or [],
        images=image,
        components=component or [],
        dry_run=dry_run,
        as_json=json,
    )


def _dropped(work: Workspace, images: list[str] | None) -> list[str]:
    """Names of the locked packages and components whose files no source has any more; all others are in the store then.

    Nothing is built for that: of a component that is not in the store, its source and what it is built with are looked
    for.
    """
    from zaffre.cli.making import Making
    from zaffre.component.engine import locked_packages
    from zaffre.component.obtaining import SourceGoneError
    from zaffre.definition import OWN, TOOLS
    from zaffre.upstream import COMPONENTS
    from zaffre.upstream.fetch import DroppedError
    from zaffre.upstream.lock import CROSS_PREFIX

    making = Making(work)
    names: list[str] = []
    chosen = {TOOLS, *(images if images is not None else (*work.distribution.images, OWN))}
    packages = [
        package
        for one in making.lock.sets
        if one.name in chosen or one.name.startswith(CROSS_PREFIX)
        for package in one.packages
    ]
    try:
        making.fetch([one for one in packages if one.archive != COMPONENTS])
    except DroppedError as error:
        names += error.names
    ours = making.fetch_own([one for one in packages if one.archive == COMPONENTS])
    for component in locked_packages(making.lock, ours).values():
        try:
            making.fetch_component(component)
        except (DroppedError, SourceGoneError):
            names.append(component.name)
    if names:
        work.progress.note(f"no mirror has what these were locked from, so they are locked anew: {', '.join(names)}")
    return names


def _check(work: Workspace, *, as_json: bool) -> None:
    from zaffre.cli.making import Making
    from zaffre.upstream import load_lock
    from zaffre.upstream.requests import check_lock

    making = Making(work)
    distribution = work.distribution
    stale = check_lock(distribution, load_lock(distribution.lock_file), tools_architecture=making.tools_architecture)
    lines = [str(one) for one in stale]
    plain: JSON = {"answers": not stale, "reasons": list(lines)}
    work.emit(
        plain,
        lambda: "\n".join([*lines, "run `zaffre lock`"]) if lines else "the lock answers the definition",
        as_json=as_json,
    )
    if stale:
        raise typer.Exit(ExitCode.FINDING)


def _lock(
    work: Workspace,
    *,
    update: list[str] | None,
    architectures: list[str],
    images: list[str] | None,
    components: list[str],
    dry_run: bool,
    as_json: bool,
) -> None:
    from zaffre.cli.making import Making
    from zaffre.upstream import load_lock, save_lock
    from zaffre.upstream.locking import lock_distribution

    distribution = work.distribution
    done = lock_distribution(
        distribution,
        load_lock(distribution.lock_file),
        Making(work).world,
        now=work.now,
        architectures=[str(distribution.architecture(name)) for name in architectures],
        images=images,
        update=update,
        components=components,
    )
    if done.changed and not dry_run:
        save_lock(done.lock, distribution.lock_file)
    work.emit(_plain(done), lambda: _words(done, str(distribution.lock_file), dry_run=dry_run), as_json=as_json)


def _words(done: Locking, path: str, *, dry_run: bool) -> str:
    if not done.changed:
        return f"{path}: nothing to change, it answers the definition"
    lines = []
    for one in done.diff.sets:
        lines += _set_words(one)
    for key, names in done.released.items():
        lines.append(f"{key[0]}: could not keep its version: {', '.join(names)}")
    if sources := done.lock.sources:
        new = len({one.key for one in sources} - {one.key for one in (done.old.sources if done.old else ())})
        size = amount(sum(one.size for one in sources))
        lines.append(f"sources: {count(len(sources), 'source package')}, {size} to download, {new} new")
    verb = "would be" if dry_run else "is"
    lines.append(f"{path} {verb} {done.lock.version}, made from:")
    rows = [(f"  {one.archive} {one.suite}", f"{one.date:%Y-%m-%d %H:%M}") for one in done.lock.suites]
    return "\n".join(lines) + "\n" + table(rows)


def _set_words(one: SetDiff) -> list[str]:
    title = f"{one.name} ({one.architecture}): {count(one.packages, 'package')}, {amount(one.new_size)} to download"
    if one.removed:
        return [f"{one.name} ({one.architecture}): removed"]
    if one.added:
        return [f"{title}, new"]
    if not one:
        return [f"{title}, unchanged"]
    growth = one.new_size - one.old_size
    sign = "+" if growth >= 0 else "-"
    users = [" users and groups changed"] if one.users_changed else []
    return [f"{title}, {sign}{amount(abs(growth))}", *(f"  {change}" for change in one.changes), *users]


def _plain(done: Locking) -> JSON:
    return {
        "changed": done.changed,
        "version": done.lock.version,
        "created": done.lock.created.isoformat(),
        "sets": [
            {
                "name": one.name,
                "architecture": one.architecture,
                "packages": one.packages,
                "bytes": one.new_size,
                "bytes_before": one.old_size,
                "new": one.added,
                "removed": one.removed,
                "changes": [
                    {
                        "name": change.name,
                        "from": change.old.version if change.old else None,
                        "to": change.new.version if change.new else None,
                        "bytes": change.size,
                    }
                    for change in one.changes
                ],
            }
            for one in done.diff.sets
        ],
        "sources": {"count": len(done.lock.sources), "bytes": sum(one.size for one in done.lock.sources)},
        "released": {f"{name} {architecture}": list(names) for (name, architecture), names in done.released.items()},
        "suites": [
            {
                "archive": one.archive,
                "suite": one.suite,
                "date": one.date.isoformat(),
                "release_sha256": one.release_sha256,
            }
            for one in done.lock.suites
        ],
    }
