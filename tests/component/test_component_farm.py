# SPDX-License-Identifier: Apache-2.0
"""What names a build: a store or a scheduler that has the result of a name gives it, so another build has another."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import zaffre
from zaffre.component.engine import CODE, build_action
from zaffre.component.farm import Farm, task_key
from zaffre.digest import source_digest
from zaffre.sandbox import Sandbox, ToolsTree
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


def test_all_code_that_makes_a_package_is_in_the_key_of_its_build() -> None:
    """Packages of ours that those who build import from. The store keeps what they make."""
    root = Path(zaffre.__file__).parent
    imported = {
        match[1]
        for path in (root / "component").glob("*.py")
        for match in re.finditer(r"^\s*from zaffre\.(\w+)", path.read_text(), re.MULTILINE)
    }
    packages = {name for name in imported if (root / name).is_dir()}
    assert packages - {"store"} == set(CODE)
    action = build_action(LOCKED, None, Sandbox(FARM.tools), {})
    assert action.inputs["code"] == source_digest(*CODE)


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
