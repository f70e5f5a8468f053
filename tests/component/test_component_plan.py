# SPDX-License-Identifier: Apache-2.0
"""Which components a lock answers still: one that is built with what nobody gives any more is not among them."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from definition.workshop import Workshop
from zaffre.definition import Distribution, component_digest
from zaffre.digest import sha256_bytes
from zaffre.upstream.lock import (
    BUILD_PREFIX,
    COMPONENTS,
    BuiltPackage,
    Lock,
    LockedComponent,
    LockedPackage,
    LockedSet,
    LockedSource,
    Outcome,
)
from zaffre.upstream.plan import plan_components
from zaffre.upstream.requests import check_lock

EXPAT = 'description = "x"\n[source]\nkind = "deb-source"\npackage = "expat"\n'
HEAD = """\
category = "security"
reason = "the parser must not be driven out of memory"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = "2.7.2"
[[operations]]
"""
SKIP = f'{HEAD}op = "tests-skip"\nreason = "they need a network"\n'
NEEDS = {"first": (), "second": ("first",), "third": ("second",), "other": ()}


def package(name: str) -> LockedPackage:
    return LockedPackage(
        name=name,
        version="1.0-1+z1",
        architecture="amd64",
        sha256=sha256_bytes(name.encode()),
        size=1,
        path=f"{name}/{name}.deb",
        suite=COMPONENTS,
        archive=COMPONENTS,
        source=name,
        source_version="1.0-1",
    )


def lock_of(distribution: Distribution) -> Lock:
    """Each component is built with packages of those before it, as `NEEDS` says."""
    components = [
        LockedComponent(
            name=name,
            architecture="amd64",
            upstream="debian",
            key=component_digest(distribution, distribution.component(name)),
            outcome=Outcome.BUILT,
            gives=(name,),
            source=LockedSource(name=name, version="1.0-1"),
            packages=(BuiltPackage(package=package(name), control=""),),
        )
        for name in NEEDS
    ]
    sets = [
        LockedSet(
            name=f"{BUILD_PREFIX}{name}" if name != "host" else name,
            architecture="amd64",
            upstream="debian",
            request="0" * 64,
            packages=tuple(package(need) for need in needs),
        )
        for name, needs in {**NEEDS, "host": ()}.items()
    ]
    now = datetime(2026, 11, 25, tzinfo=UTC)
    return Lock(distribution="acme", created=now, serial=1, suites=(), sets=tuple(sets), components=tuple(components))


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    made = Workshop(tmp_path)
    for name in NEEDS:
        made.write(f"components/{name}/component.toml", EXPAT.replace("expat", name))
        made.write(f"components/{name}/overlays/0001-x.toml", SKIP)
    return made


def fresh(distribution: Distribution, lock: Lock) -> set[str]:
    plan = plan_components(distribution, lock, {"amd64"})
    names = {component.name for component, _ in plan.fresh}
    assert names | {one.name for one in (*plan.kept, *plan.gone)} == {one.name for one in lock.components}
    assert {one.name for one in plan.kept_sets} == {f"{BUILD_PREFIX}{one.name}" for one in plan.kept}
    return names


def stale(distribution: Distribution, lock: Lock) -> set[str]:
    return {str(one) for one in check_lock(distribution, lock) if one.name.startswith("component ")}


def test_what_has_all_that_it_needs_stays(workshop: Workshop) -> None:
    distribution = workshop.load()
    lock = lock_of(distribution)
    assert fresh(distribution, lock) == set()
    assert stale(distribution, lock) == set()


def test_what_is_built_with_a_changed_component_is_chosen_anew(workshop: Workshop) -> None:
    lock = lock_of(workshop.load())
    workshop.write("components/first/overlays/0001-x.toml", SKIP.replace("a network", "much time"))
    distribution = workshop.load()
    assert fresh(distribution, lock) == {"first", "second", "third"}
    assert {line.partition(":")[0] for line in stale(distribution, lock)} == {
        f"component {name} (amd64)" for name in ("first", "second", "third")
    }


def test_what_is_built_with_a_component_that_is_gone(workshop: Workshop) -> None:
    lock = lock_of(workshop.load())
    shutil.rmtree(workshop.root / "components/first")
    distribution = workshop.load()
    assert fresh(distribution, lock) == {"second", "third"}
    why = "is built with {}, and no component gives that as it is locked"
    assert stale(distribution, lock) == {
        "component first (amd64): is in the lock, but not in the definition",
        f"component second (amd64): {why.format('first')}",
        f"component third (amd64): {why.format('second')}",
    }


def test_another_package_of_that_name_is_not_the_one(workshop: Workshop) -> None:
    distribution = workshop.load()
    lock = lock_of(distribution)
    first, *rest = lock.components
    other = package("first").model_copy(update={"sha256": "1" * 64})
    first = first.model_copy(update={"packages": (BuiltPackage(package=other, control=""),)})
    assert fresh(distribution, lock.model_copy(update={"components": (first, *rest)})) == {"second", "third"}
