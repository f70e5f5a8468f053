# SPDX-License-Identifier: Apache-2.0
"""The one who builds components: chooses their sources for the lock, and makes their packages from it.

A result is in the store by the key of all that it depends on, and what it consists of is in the lock: whoever has
the lock gets these very packages, or an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pydantic import TypeAdapter

from zaffre.component.buildroot import remember_log
from zaffre.component.built import built_packages
from zaffre.component.debbuild import DebBuild
from zaffre.component.filespack import FilesPack
from zaffre.component.gobuild import GoBuild
from zaffre.component.model import Bench, Choice, Maker, Order
from zaffre.component.repack import Repack
from zaffre.component.rpmbuild import RpmBuild
from zaffre.definition import Component, Distribution, component_inputs
from zaffre.definition.component import DebBinary, DebSource, FilesSource, GoModule, RpmSource
from zaffre.digest import JSON, Sha256, source_digest
from zaffre.errors import DefinitionError, FindingError, IntegrityError
from zaffre.progress import Progress
from zaffre.sandbox import Sandbox
from zaffre.store import Action, ActionResult, Store
from zaffre.upstream.download import Limits
from zaffre.upstream.family import Repositories
from zaffre.upstream.lock import BuiltPackage, Lock, LockedComponent, LockedPackage, LockedSet, Outcome
from zaffre.upstream.mirrors import Mirrors
from zaffre.upstream.world import Chosen


@dataclass(frozen=True)
class Built:
    """The packages of one component, and how they came: `why` says which inputs changed since the last build."""

    packages: tuple[BuiltPackage, ...]
    cached: bool
    wall_seconds: float
    cpu_seconds: float
    why: tuple[str, ...]


@dataclass(frozen=True)
class ComponentEngine:
    """Builds the components of one distribution. Safe to use from several threads."""

    distribution: Distribution
    store: Store
    mirrors: Mirrors
    progress: Progress
    limits: Limits | None = None

    def choose(
        self, component: Component, architecture: str, repositories: Repositories, sandbox: Sandbox, *, now: datetime
    ) -> Chosen:
        bench = self._bench(component, architecture, sandbox, now)
        return maker_of(component).choose(bench, Choice(repositories, now))

    def build(
        self, locked: LockedComponent, installed: LockedSet | None, sandbox: Sandbox, *, created: datetime
    ) -> Sequence[BuiltPackage]:
        return self.built(locked, installed, sandbox, created=created).packages

    def built(
        self,
        locked: LockedComponent,
        installed: LockedSet | None,
        sandbox: Sandbox,
        *,
        created: datetime,
        use_cache: bool = True,
    ) -> Built:
        """The packages of a locked component. Raises IntegrityError when they are not those that the lock names."""
        bench = self.bench(locked, sandbox, created=created)
        component = bench.component
        action = build_action(locked, installed, sandbox, component_inputs(self.distribution, component))

        def produce(scratch: Path) -> ActionResult:
            made = maker_of(component).make(bench, Order(locked, installed), scratch)
            packages = built_packages(component, made.files, store=self.store, sandbox=sandbox)
            _check_names(component, locked, packages)
            outputs = {one.package.path.rpartition("/")[2]: one.package.digest for one in packages}
            if made.log is not None:
                outputs[LOG] = made.log
            facts: dict[str, JSON] = {"packages": [one.model_dump(mode="json") for one in packages]}
            return ActionResult(outputs=outputs, facts=facts)

        with self.progress.step(action.label) as remark:
            performed = self.store.perform(action, produce, use_cache=use_cache)
            packages = _packages(performed.result.facts)
            remark("cached" if performed.cached else f"{sum(one.package.size for one in packages) / 1e6:.1f} MB")
        if LOG in performed.result.outputs:
            remember_log(bench, performed.result.outputs[LOG])
        _check_locked(locked, packages)
        return Built(packages, performed.cached, performed.wall_seconds, performed.cpu_seconds, performed.why)

    def bench(self, locked: LockedComponent, sandbox: Sandbox, *, created: datetime) -> Bench:
        """What it takes to work on a locked component."""
        return self._bench(self.distribution.component(locked.name), locked.architecture, sandbox, created)

    def _bench(self, component: Component, architecture: str, sandbox: Sandbox, time: datetime) -> Bench:
        return Bench(
            distribution=self.distribution,
            component=component,
            architecture=architecture,
            store=self.store,
            sandbox=sandbox,
            mirrors=self.mirrors.at(time),
            progress=self.progress,
            time=time,
            limits=self.limits,
        )


_PACKAGES = TypeAdapter(tuple[BuiltPackage, ...])
CODE = ("component", "definition", "sandbox", "tree", "upstream")
"""Our own packages whose code decides what a build gives. (The store keeps bytes and makes none.)"""
LOG = "build.log"
"""Name of the output that is the log of a build."""


def maker_of(component: Component) -> Maker:
    match component.source:
        case DebSource() as source:
            return DebBuild(source)
        case DebBinary() as source:
            return Repack(source)
        case GoModule() as source:
            return GoBuild(source)
        case FilesSource() as source:
            return FilesPack(source)
        case RpmSource() as source:
            return RpmBuild(source)


def build_action(
    locked: LockedComponent, installed: LockedSet | None, sandbox: Sandbox, definition: Mapping[str, JSON]
) -> Action:
    """The build of a component, with all that its packages depend on. `definition` is what the lock's key is of."""
    return Action(
        kind="component",
        label=f"component {locked.name} {locked.architecture}",
        inputs={
            "code": source_digest(*CODE),
            "definition": definition,
            "source": locked.source.model_dump(mode="json", exclude_none=True),
            "packages": {one.name: f"{one.version} {one.sha256}" for one in installed.packages} if installed else {},
            "architecture": locked.architecture,
            "tools": sandbox.tools.key,
        },
        reason="a component is built instead of inherited",
    )


def locked_packages(lock: Lock, wanted: Iterable[LockedPackage]) -> dict[tuple[str, str], LockedComponent]:
    """The components that packages of the archive of components come from, by name and architecture."""
    owners = {built.package.digest: one for one in lock.components for built in one.packages}
    found: dict[tuple[str, str], LockedComponent] = {}
    for package in wanted:
        owner = owners.get(package.digest)
        if owner is None:
            raise FindingError(
                f"the lock does not say how '{package.name}' was built",
                where=package.path,
                resolution="run `zaffre lock`",
            )
        found[owner.identity] = owner
    return found


def _packages(facts: Mapping[str, JSON]) -> tuple[BuiltPackage, ...]:
    return _PACKAGES.validate_python(facts["packages"])


def _check_names(component: Component, locked: LockedComponent, packages: Sequence[BuiltPackage]) -> None:
    names = {one.package.name for one in packages}
    if not names or not names <= set(locked.gives):
        raise DefinitionError(
            f"the build of '{component.name}' gave {', '.join(sorted(names)) or 'no package'}",
            where=component.file,
            details=f"expected were packages among {', '.join(locked.gives)}",
            resolution="run `zaffre lock`; if it stays, an overlay makes packages that the source does not declare",
        )


def _check_locked(locked: LockedComponent, packages: Sequence[BuiltPackage]) -> None:
    if locked.outcome != Outcome.BUILT:
        return
    wanted: dict[str, Sha256] = {one.package.name: one.package.digest for one in locked.packages}
    found = {one.package.name: one.package.digest for one in packages}
    other = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if other:
        raise IntegrityError(
            f"the component '{locked.name}' did not come out as it is locked",
            where=f"{locked.name} {locked.source.version}",
            details="\n".join(
                f"{name}: locked {wanted.get(name, 'not at all')}, built {found.get(name, 'not at all')}"
                for name in other
            ),
            resolution=f"`zaffre reproduce --component {locked.name}` shows what differs from build to build; "
            f"`zaffre lock --update {locked.name}` locks what comes out now",
        )
