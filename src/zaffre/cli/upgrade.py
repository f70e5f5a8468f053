# SPDX-License-Identifier: Apache-2.0
"""`zaffre upgrade`: machines that are upgraded in place."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import amount, count, table
from zaffre.errors import DefinitionError, ExitCode

if TYPE_CHECKING:
    from zaffre.upgrade.model import Plan, Proof, Room
    from zaffre.upstream import Lock

app = typer.Typer(help="Upgrades in place, of machines with a package manager.", no_args_is_help=True)

_MOST_CAUSES = 4
_MOVES = (
    ("downgraded", "downgraded, which apt does only if it is told to"),
    ("removed", "removed"),
    ("added", "added"),
    ("upgraded", "upgraded"),
    ("rebuilt", "rebuilt under the same version, which apt does not replace"),
    ("kept", "kept until the machine runs the new kernel"),
)


@app.command()
def plan(
    context: typer.Context,
    old: Annotated[Path, typer.Argument(metavar="OLD", help="The lock that the machine was made from.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The lock that it is to be upgraded to.")],
    image: Annotated[str, typer.Option("--image", metavar="NAME", help="Which image the machine is.")],
    arch: Annotated[
        str | None, typer.Option("--arch", metavar="ARCH", help="amd64 or arm64. Else: the definition's default.")
    ] = None,
    no_prove: Annotated[
        bool, typer.Option("--no-prove", help="Look at the packages only; apt does not try it.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Say what an upgrade in place would do, and prove by apt in a scratch root that it can be done.

    What comes, goes and goes back; which configuration files will ask; which services restart and which go on with old
    code; whether a reboot is due. Packages of both locks are fetched if the store lacks them; no machine is touched.

    Exit code 1 if it can't be done, or ends with other packages than the new lock has.

    Example: zaffre upgrade plan old.lock distro/zaffre.lock --image server
    """
    from zaffre.cli.tools import fetch_locked, tools_sandbox
    from zaffre.upgrade import Order, Planner

    work = workspace(context)
    before, after = _lock(old), _lock(new)
    distribution = work.distribution
    architecture = str(distribution.architecture_for(distribution.image(image), arch))
    planner = Planner(
        distribution=distribution,
        store=work.store,
        progress=work.progress,
        fetch=lambda lock, packages: fetch_locked(work, lock, packages),
        sandbox=lambda: tools_sandbox(work, after, architecture),
    )
    order = Order(before, after, image, architecture, prove=not no_prove)
    found = planner.plan(order)
    work.emit(found, lambda: "\n\n".join(_words(found)), as_json=json)
    if found.possible is False:
        raise typer.Exit(ExitCode.FINDING)


def _lock(path: Path) -> Lock:
    from zaffre.upstream import load_lock

    lock = load_lock(path)
    if lock is None:
        raise DefinitionError("there is no such lock", where=str(path), resolution="name the file of a lock")
    return lock


def _words(found: Plan) -> Iterator[str]:
    title = f"{found.image} ({found.architecture}) of {found.distribution}"
    yield f"{title}: {found.old} -> {found.new}"
    for kind, told in _MOVES:
        moves = [move for move in found.moves if move.kind == kind]
        if moves:
            rows = [
                (f"  {move.name}", _versions(move.old_version, move.new_version), _replaced(move.replaced_by))
                for move in moves
            ]
            yield f"{count(len(moves), 'package')} {told}:\n{table(rows)}"
    if found.moves:
        yield _room(found.room)
    else:
        yield "No package differs."
    yield from _configuration(found)
    yield from _services(found)
    if found.reboot:
        yield "A reboot is due:\n" + "\n".join(f"  {reason}" for reason in found.reboot)
    yield _verdict(found.proof) if found.proof else "Whether apt can do it was not tried (--no-prove)."


def _room(room: Room) -> str:
    """The root holds the packages while they are installed."""
    after = f"{amount(room.grows)} more" if room.grows >= 0 else f"{amount(-room.grows)} less"
    return f"On the disk: {amount(room.download)} of packages while it goes on, {after} in the end."


def _versions(old: str | None, new: str | None) -> str:
    return f"{old} -> {new}" if old and new else str(new or old)


def _replaced(names: tuple[str, ...]) -> str:
    return f"replaced by {', '.join(names)}" if names else ""


def _configuration(found: Plan) -> Iterator[str]:
    for asks, title in (
        ("always", "Configuration files that ask on every machine, as the image itself changed them"),
        ("if-changed", "Configuration files that ask where somebody changed them"),
    ):
        rows = [
            (f"  {one.path}", one.package, one.change, one.tree or "") for one in found.conffiles if one.asks == asks
        ]
        if rows:
            yield f"{title}:\n{table(rows)}"
    if found.questions:
        yield "Packages that may ask by themselves:\n" + "\n".join(f"  {one}" for one in found.questions)
    if not found.questions and all(one.asks == "no" for one in found.conffiles):
        yield "No configuration file asks."


def _services(found: Plan) -> Iterator[str]:
    for action, title in (
        ("restarted", "Services that the packages restart"),
        ("old-code", "Services that go on with old code until they are restarted"),
    ):
        rows = [(f"  {one.unit}", _some(one.because)) for one in found.services if one.action == action]
        if rows:
            yield f"{title}:\n{table(rows)}"


def _some(causes: tuple[str, ...]) -> str:
    more = len(causes) - _MOST_CAUSES
    return ", ".join(causes[:_MOST_CAUSES]) + (f" and {more} more" if more > 0 else "")


def _verdict(proof: Proof) -> str:
    commands = [f"  {shlex.join(words)}" for words in proof.commands]
    if proof.failure is not None:
        return "It can not be done:\n" + _indented(proof.failure.splitlines())
    if proof.differences:
        tried = "\n".join(["apt did this in a scratch root:", *commands])
        return f"{tried}\nbut the result is not the new lock's set:\n{_indented(proof.differences)}"
    asked = [f"dpkg would have asked about {', '.join(proof.asked)}, and kept the machine's."] if proof.asked else []
    return "\n".join(
        [
            f"It can be done. apt did this in a scratch root ({proof.seconds:.0f} s), and the new lock's set is there:",
            *commands,
            *asked,
        ]
    )


def _indented(lines: Iterable[str]) -> str:
    return "\n".join(f"  {line}" for line in lines)
