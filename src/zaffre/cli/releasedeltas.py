# SPDX-License-Identifier: Apache-2.0
"""Deltas of a release that is about to be published or promoted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from zaffre.cli.context import Workspace

if TYPE_CHECKING:
    from zaffre.release.change import Change
    from zaffre.release.deltas import Goal, Made
    from zaffre.release.desk import Desk
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
