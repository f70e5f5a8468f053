# SPDX-License-Identifier: Apache-2.0
"""Names of tasks on a farm: a scheduler that has the result of a name gives it, so another task has another name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from zaffre.component.farm import Farm, task_key
from zaffre.sandbox import ToolsTree
from zaffre.upstream.lock import LockedComponent, LockedSet, LockedSource, Outcome
from zaffre.upstream.mirrors import Mirrors, Source

FARM = Farm(
    distribution=Path("/distro"),
    store=Path("/store"),
    tools=ToolsTree(Path("/tools"), "tools-1"),
    mirrors=Mirrors(()),
    created=datetime(2026, 11, 25, tzinfo=UTC),
)
LOCKED = LockedComponent(
    name="probe",
    architecture="amd64",
    upstream="debian",
    key="0" * 64,
    outcome=Outcome.LOCKED,
    gives=("probe",),
    source=LockedSource(name="probe", version="1.0"),
)
INSTALLED = LockedSet(name="component:probe", architecture="amd64", upstream="debian", request="0" * 64, packages=())


def test_the_same_task_has_the_same_name() -> None:
    assert task_key(FARM, LOCKED, INSTALLED) == task_key(replace(FARM), LOCKED.model_copy(), INSTALLED.model_copy())
    assert task_key(FARM, LOCKED, INSTALLED).startswith("probe-amd64-")


@pytest.mark.parametrize(
    "other",
    [
        (FARM, LOCKED.model_copy(update={"source": LockedSource(name="probe", version="1.1")}), INSTALLED),
        (FARM, LOCKED.model_copy(update={"outcome": Outcome.BUILT}), INSTALLED),
        (FARM, LOCKED, INSTALLED.model_copy(update={"request": "1" * 64})),
        (FARM, LOCKED, None),
        (replace(FARM, store=Path("/another")), LOCKED, INSTALLED),
        (replace(FARM, distribution=Path("/another")), LOCKED, INSTALLED),
        (replace(FARM, tools=ToolsTree(Path("/tools"), "tools-2")), LOCKED, INSTALLED),
        (replace(FARM, created=datetime(2026, 11, 26, tzinfo=UTC)), LOCKED, INSTALLED),
        (
            replace(FARM, mirrors=Mirrors((Source("debian", "https://mirror.example/debian", "test"),))),
            LOCKED,
            INSTALLED,
        ),
        (replace(FARM, use_cache=False), LOCKED, INSTALLED),
    ],
)
def test_another_task_has_another_name(other: tuple[Farm, LockedComponent, LockedSet | None]) -> None:
    assert task_key(*other) != task_key(FARM, LOCKED, INSTALLED)


def test_a_build_without_the_cache_is_nobody_elses() -> None:
    anew = replace(FARM, use_cache=False)
    assert task_key(anew, LOCKED, INSTALLED) != task_key(anew, LOCKED, INSTALLED)
