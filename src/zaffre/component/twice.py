# SPDX-License-Identifier: Apache-2.0
"""A component built twice, from nothing and elsewhere, and where the packages of the two builds differ."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from zaffre.component.built import unpack_built
from zaffre.component.engine import ComponentEngine
from zaffre.component.gobuild import GoBuild, lay_proxy
from zaffre.component.goproxy import Modules
from zaffre.component.gosettings import VARIABLE
from zaffre.component.model import Bench
from zaffre.definition import Component, load_distribution
from zaffre.definition.component import GoModule
from zaffre.digest import Sha256
from zaffre.elsewhere import FIRST, SECOND, Circumstances, elsewhere
from zaffre.progress import SILENT, Progress
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.tree.treecompare import compare_trees
from zaffre.upstream.lock import LockedComponent, LockedSet, Outcome
from zaffre.upstream.mirrors import Mirrors


@dataclass(frozen=True)
class Recipe:
    """What a build needs, in a form that another process can be given.

    `store` has the packages that are installed and the files of the source; nothing else is taken from it.
    """

    distribution: Path
    locked: LockedComponent
    installed: LockedSet | None
    tools: ToolsTree
    store: Path
    created: datetime
    proxy: Path | None = None


@dataclass(frozen=True)
class Twice:
    """SHA-256 of each package of the first build, and what differs in the second, by package."""

    packages: dict[str, Sha256]
    differences: dict[str, tuple[str, ...]]


def build_twice(bench: Bench, recipe: Recipe, *, progress: Progress) -> Twice:
    """Build twice, each time in a new store. Raises what a build raises."""
    with tempfile.TemporaryDirectory(prefix="zaffre-reproduce-", dir=recipe.store) as scratch:
        given = recipe
        if isinstance(bench.component.source, GoModule):
            files = GoBuild(bench.component.source).files(bench, Modules(bench.store, limits=bench.limits))
            given = Recipe(**{**recipe.__dict__, "proxy": lay_proxy(bench, files, Path(scratch, "proxy"))})
        builds: list[dict[str, Sha256]] = []
        for number, circumstances in enumerate((FIRST, SECOND)):
            place = Path(scratch, circumstances.name)
            place.mkdir()
            with progress.step(f"build {number + 1} of 2, from nothing") as remark:
                builds.append(elsewhere(_build, circumstances, given, place))
                remark(f"as on {circumstances.host_name}, clock {circumstances.clock_offset_seconds:+d} s")
        first, second = builds
        differences: dict[str, tuple[str, ...]] = {}
        for name in sorted(first.keys() | second.keys()):
            if name not in first or name not in second:
                differences[name] = ("it comes of one build only",)
            elif first[name] != second[name]:
                paths = [Store(Path(scratch, one.name, "store")).path(digest[name]) for one, digest in _pairs(builds)]
                compared = Path(scratch, f"compare-{name}")
                differences[name] = _causes(bench.component, paths[0], paths[1], compared, recipe.tools)
        return Twice(first, differences)


def _pairs(builds: list[dict[str, Sha256]]) -> list[tuple[Circumstances, dict[str, Sha256]]]:
    return list(zip((FIRST, SECOND), builds, strict=True))


def _causes(component: Component, first: Path, second: Path, scratch: Path, tools: ToolsTree) -> tuple[str, ...]:
    scratch.mkdir()
    sandbox = Sandbox(tools)
    unpack_built(component, first, scratch / "a", sandbox=sandbox)
    unpack_built(component, second, scratch / "b", sandbox=sandbox)
    found = tuple(str(one) for one in compare_trees(scratch / "a", scratch / "b"))
    return found or ("the same files are packed in another way",)


def _build(circumstances: Circumstances, recipe: Recipe, place: Path) -> dict[str, Sha256]:
    given, store = Store(recipe.store), Store(place / "store")
    if recipe.proxy is not None:
        os.environ[VARIABLE] = recipe.proxy.as_uri()
    wanted = [package.digest for package in recipe.installed.packages] if recipe.installed else []
    for digest in (*wanted, *(file.digest for file in recipe.locked.source.files)):
        store.add_file(given.path(digest), expected=digest)
    engine = ComponentEngine(load_distribution(recipe.distribution), store, Mirrors(()), SILENT)
    sandbox = Sandbox(recipe.tools, clock_offset_seconds=circumstances.clock_offset_seconds, jobs=circumstances.jobs)
    # What it is locked as does not count here: the two builds are held against each other.
    locked = recipe.locked.model_copy(update={"outcome": Outcome.LOCKED, "packages": ()})
    built = engine.built(locked, recipe.installed, sandbox, created=recipe.created)
    return {one.package.path.rpartition("/")[2]: one.package.digest for one in built.packages}
