# SPDX-License-Identifier: Apache-2.0
"""`zaffre patch schedule`."""

from __future__ import annotations

import sys
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, Workspace, workspace

if TYPE_CHECKING:
    from zaffre.patching.schedule import Scheduler


def schedule(
    context: typer.Context,
    scheduler: Annotated[str, typer.Argument(metavar="systemd|github|gitlab", help="Who runs it.")],
    images: Annotated[list[str] | None, typer.Argument(metavar="[IMAGE]...", help="Only these. Else: all.")] = None,
    to: Annotated[str | None, typer.Option("--to", metavar="TARGET", help="Publish there.")] = None,
    until: Annotated[
        str | None, typer.Option("--until", metavar="STAGE", help="The last stage, as of 'zaffre patch'.")
    ] = None,
    hour: Annotated[int, typer.Option("--hour", metavar="N", min=0, max=23, help="At that hour of each day, UTC.")] = 3,
    into: Annotated[
        Path | None, typer.Option("--into", metavar="DIR", help="Write the files there. Else: they are printed.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Print what runs 'zaffre patch' each day: a systemd timer, or a job of GitHub's or GitLab's CI.

    Nothing has to run in between. The exit code tells whoever watches the job.

    Examples: zaffre patch schedule systemd --to /srv/releases --into /etc/systemd/system; zaffre patch schedule gitlab
    """
    from zaffre.patching.schedule import Job, templates
    from zaffre.store import write_atomic

    work = workspace(context)
    named = tuple(work.distribution.image(name).name for name in images or ())
    chosen = _scheduler(scheduler)
    more = (*(("--to", to) if to else ()), *(("--until", until) if until else ()))
    words = (*_place(work, chosen), "--quiet", "patch", *named, *more)
    job = Job(words, PurePosixPath(_program()), PurePosixPath(Path.cwd()), hour)
    files = templates(chosen, job)
    if into is not None:
        into.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_atomic(into / name, text.encode(), directory=into)
            (into / name).chmod(0o644)
    written = [str(into / name) for name in files] if into is not None else []
    work.emit(
        {"files": dict(files), "written": [*written]},
        lambda: "\n".join(written) if into is not None else "\n".join(f"# {name}\n{files[name]}" for name in files),
        as_json=json,
    )


def _scheduler(name: str) -> Scheduler:
    from zaffre.patching.schedule import Scheduler

    if name not in set(Scheduler):
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(Scheduler)}", param_hint="systemd|github|gitlab")
    return Scheduler(name)


def _place(work: Workspace, scheduler: Scheduler) -> tuple[str, ...]:
    """How the command finds the distribution: a machine's timer by its path, a CI's job in what it has checked out."""
    return ("--distro", str(work.distribution.root.resolve())) if scheduler == "systemd" else ()


def _program() -> str:
    """This program, as it is installed."""
    beside = Path(sys.executable).with_name("zaffre")
    return str(beside if beside.is_file() else Path(sys.argv[0]).resolve())
