# SPDX-License-Identifier: Apache-2.0
"""`zaffre release`: how releases reach a fleet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli import released, releasedecide, releasekeys, releasesigning, releasestop, releasing
from zaffre.cli.context import JsonOption, workspace
from zaffre.cli.output import count, table
from zaffre.errors import DefinitionError

if TYPE_CHECKING:
    from zaffre.definition import Waves
    from zaffre.release import Fleet, Outcome, Rollout

app = typer.Typer(help="Releases: published, signed and rolled out to a fleet.", no_args_is_help=True)
app.command()(releasing.init)
app.command()(releasing.create)
app.command()(releasing.publish)
app.command()(releasing.promote)
app.command("list")(released.list_releases)
app.command()(released.show)
app.command()(releasedecide.decide)
app.command()(releasestop.revoke)
app.command()(releasestop.pause)
app.command()(releasestop.resume)
app.command()(released.refresh)
app.command()(released.verify)
app.command()(released.gc)
app.command()(releasesigning.sign)
app.command()(releasesigning.submit)
app.add_typer(releasekeys.app, name="keys")

_MOST_NODES = 10_000_000


@app.command()
def simulate(
    context: typer.Context,
    waves: Annotated[
        str, typer.Option("--waves", metavar="NAME", help="The schedule, of [release.waves].")
    ] = "standard",
    nodes: Annotated[
        int, typer.Option("--nodes", metavar="N", min=1, max=_MOST_NODES, help="Size of the fleet.")
    ] = 10_000,
    days: Annotated[int, typer.Option("--days", metavar="N", min=1, max=365, help="How long to look.")] = 30,
    bad: Annotated[
        float | None,
        typer.Option("--bad", metavar="PERCENT", min=0, max=100, help="The release does not come up on so many nodes."),
    ] = None,
    found: Annotated[
        str | None, typer.Option("--found", metavar="TIME", help="A person stops it after that time, such as 36h.")
    ] = None,
    fix: Annotated[
        str, typer.Option("--fix", metavar="TIME", help="The good release follows so long after the stop.")
    ] = "12h",
    fix_waves: Annotated[
        str | None, typer.Option("--fix-waves", metavar="NAME", help="Its schedule. Else: the same.")
    ] = None,
    poll: Annotated[str, typer.Option("--poll", metavar="TIME", help="How often a node asks for news.")] = "1h",
    window: Annotated[
        str, typer.Option("--window", metavar="HOURS", help="When a node may restart, in its own day; or any.")
    ] = "2-5",
    one_zone: Annotated[bool, typer.Option("--one-zone", help="All nodes are in one time zone. Else: in 24.")] = False,
    away: Annotated[
        float, typer.Option("--away", metavar="PERCENT", min=0, max=100, help="Nodes that are off once, for a while.")
    ] = 5.0,
    away_for: Annotated[str, typer.Option("--away-for", metavar="TIME", help="For how long, on average.")] = "3d",
    seed: Annotated[str, typer.Option("--seed", metavar="TEXT", help="Another one is another fleet.")] = "1",
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it there, as SVG.")] = None,
    json: JsonOption = False,
) -> None:
    """Try a wave schedule on a fleet that does not exist.

    How long a release takes to reach every node; with --bad, how many nodes a bad one reaches before the reports of
    those that did not come up stop it, and how long the good one that follows takes. Every node is drawn by its
    number, with a time zone, hours in which it may restart, and times in which it is off.

    Example: zaffre release simulate --nodes 1000000 --bad 20 --picture rollout.svg
    """
    from zaffre.definition import parse_duration
    from zaffre.release import Bad, Fleet, simulate

    def seconds(option: str, text: str) -> float:
        try:
            return float(parse_duration(text))
        except ValueError as error:
            raise DefinitionError(str(error), where=option, resolution='write it as "90m", "36h" or "7d"') from error

    work = workspace(context)
    distribution = work.distribution
    chosen = distribution.waves(waves)
    fleet = Fleet(
        nodes=nodes,
        poll=seconds("--poll", poll),
        window=_window(window),
        zones=not one_zone,
        away=away / 100,
        away_seconds=seconds("--away-for", away_for),
        span=days * 86400.0,
        seed=seed,
    )
    rollout = _rollout(chosen)
    trouble = None
    if bad is not None:
        trouble = Bad(
            share=bad / 100,
            fix=seconds("--fix", fix),
            schedule=_rollout(distribution.waves(fix_waves) if fix_waves else chosen).schedule,
            found=None if found is None else seconds("--found", found),
        )
    elif found is not None or fix_waves is not None:
        raise DefinitionError(
            "only a bad release is stopped and followed by another",
            where="--found" if found is not None else "--fix-waves",
            resolution="say with --bad on how many percent of the nodes it does not come up",
        )
    total, done = nodes * (1 if bad is None else 2), 0
    with work.progress.step(f"{nodes:,} nodes") as remark:

        def tell(number: int) -> None:
            nonlocal done
            done += number
            remark(f"{done / total:.0%}")

        outcome = simulate(fleet, rollout, days=days, bad=trouble, tell=tell)
    if picture is not None:
        _draw(picture, outcome, f"{waves}: {nodes:,} nodes" + (f", bad on {bad:g} %" if bad is not None else ""))
    work.emit(outcome, lambda: "\n".join(_words(outcome, fleet, rollout, waves, picture)), as_json=json)


def _rollout(waves: Waves) -> Rollout:
    from zaffre.release import Rollout, Schedule

    steps = ((step.share / 100, float(step.until)) for step in waves.steps)
    return Rollout(Schedule.of(steps), waves.halt.unhealthy / 100, waves.halt.reports)


def _window(text: str) -> tuple[int, int] | None:
    if text == "any":
        return None
    found = re.fullmatch(r"([0-9]{1,2})-([0-9]{1,2})", text)
    hours = (int(found[1]), int(found[2])) if found else (0, 0)
    if hours[0] == hours[1] or max(hours) > 24:
        raise DefinitionError(
            f"{text!r} is no part of a day",
            where="--window",
            resolution='write two hours, such as "2-5" or "22-4", or "any"',
        )
    return hours


def _draw(path: Path, outcome: Outcome, title: str) -> None:
    from zaffre.release import picture
    from zaffre.store import write_atomic

    if not path.parent.is_dir():
        raise DefinitionError("there is no such folder", where=str(path.parent), resolution="make it first")
    write_atomic(path, picture(outcome, title).encode(), directory=path.parent)


def _words(outcome: Outcome, fleet: Fleet, rollout: Rollout, waves: str, drawn: Path | None) -> Iterator[str]:
    hours = "at any time" if fleet.window is None else f"from {fleet.window[0]} to {fleet.window[1]} o'clock"
    yield f"{waves}, {outcome.nodes:,} nodes that may restart {hours}, {outcome.days:g} days"
    yield ""
    if outcome.stopped_by is None and outcome.failed:
        yield f"The bad release was not stopped: {outcome.reached:,} nodes began it, {outcome.failed:,} fell back."
        yield f"Reports stop one that more than {rollout.unhealthy:.1%} of {rollout.reports} or more nodes can't take."
    elif outcome.stopped_by is not None and outcome.stopped_day is not None:
        share = outcome.reached / outcome.nodes
        yield f"stopped by {outcome.stopped_by} after {_time(outcome.stopped_day)}"
        yield f"  {outcome.reached:,} nodes ({share:.2%}) had begun it, {outcome.failed:,} of them fell back"
        yield f"the good release came {_time(outcome.good_day - outcome.stopped_day)} later"
    rows = [
        (f"  {name}", "not yet" if when is None else _time(when))
        for name, when in (
            ("half of the nodes have it after", outcome.times.half),
            ("90 %", outcome.times.ninety),
            ("99 %", outcome.times.ninety_nine),
            ("all", outcome.times.all),
        )
    ]
    yield table(rows)
    if outcome.good < outcome.nodes:
        yield f"when the {outcome.days:g} days end: {count(outcome.nodes - outcome.good, 'node')} without it"
    if drawn is not None:
        yield f"drawn: {drawn}"


def _time(days: float) -> str:
    return f"{days:.1f} days" if days >= 2 else f"{days * 24:.1f} hours"
