# SPDX-License-Identifier: Apache-2.0
"""A release is published or promoted, with its deltas."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import Workspace

if TYPE_CHECKING:
    from zaffre.offer import Rollout
    from zaffre.release.candidate import Candidate
    from zaffre.release.change import Change
    from zaffre.release.deltas import Goal, Made
    from zaffre.release.desk import Desk, Outcome
    from zaffre.release.state import State

DeltasOption = Annotated[
    int | None,
    typer.Option(
        "--deltas",
        metavar="N",
        min=0,
        max=20,
        help="Deltas from so many versions before it. Else: release.deltas of the definition.",
    ),
]


def publish_candidate(
    work: Workspace,
    desk: Desk,
    found: tuple[Path, Candidate],
    pace: Rollout,
    *,
    channel: str | None,
    count: int | None = None,
    dry_run: bool = False,
) -> Outcome:
    """A build and what is to be published of it, into a channel or the repository's first one, with its deltas."""
    from zaffre.release.deltas import Goal
    from zaffre.release.operate import add
    from zaffre.release.payload import payload_of

    build, candidate = found
    goal = Goal.of_candidate(candidate)

    def place_in(state: State) -> str:
        return channel or next(iter(state.channels))

    def make(state: State, made: tuple[Made, ...] = ()) -> Change:
        targets = [one.target for one in made]
        return add(state, place_in(state), candidate, pace, now=work.now, deltas=targets)

    with deltas(work, desk, count, channel=place_in, change=make, goal=lambda _: goal, build=build) as made:
        return desk.carry_out(
            lambda state: make(state, made),
            lambda state: payload_of(build, candidate, place_in(state), deltas=made),
            dry_run=dry_run,
        )


@contextmanager
def deltas(
    work: Workspace,
    desk: Desk,
    count: int | None,
    *,
    channel: Callable[[State], str],
    change: Callable[[State], Change],
    goal: Callable[[State], Goal],
    build: Path | None = None,
) -> Iterator[tuple[Made, ...]]:
    """Those to what the change will bring into a channel; they are there as long as the context is.

    They are made before the right to publish is taken, as that takes a while. None for a change that changes nothing.
    Raises as the change does, so that nothing is made for one that is refused.
    """
    from zaffre.release.deltas import Workshop, wanted

    most = work.distribution.release.deltas if count is None else count
    with TemporaryDirectory(prefix="zaffre-deltas-") as folder:
        state = desk.state()
        if not most or not change(state).roles:
            yield ()
            return
        name = channel(state)
        listed = state.role(name).signed
        shop = Workshop(desk.place, Path(folder), work.progress, lambda one: build / one.file if build else None)
        yield shop.make(state, wanted(state.records(name).values(), listed, goal(state), most))
