# SPDX-License-Identifier: Apache-2.0
"""`rpm`: a source package of the upstream, or a spec of our own, changed by overlays and built by rpmbuild.

What a spec means only rpm can tell, with the macros of the distribution that it is for. So it is read in a root of the
upstream's `build_packages`: for the packages that it gives and what it says that it is built with.
"""

from __future__ import annotations

import re
import shutil
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import cast

from zaffre.component.buildroot import PLACE, BuildRoot, build_root
from zaffre.component.model import Bench, Choice, Made, Order
from zaffre.component.obtaining import SourceGoneError, upstream_binary
from zaffre.component.rpmspec import SOURCES, Reading, generated, macros, read_spec
from zaffre.component.rpmtree import lay_sources, verify_rpm_source
from zaffre.definition import RpmUpstream
from zaffre.definition.component import RpmSource
from zaffre.digest import EMPTY
from zaffre.errors import DefinitionError, WorldError
from zaffre.tree.rootfs import plain_files
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.fetch import fetch
from zaffre.upstream.lock import BUILD_PREFIX, LockedSet, LockedSource
from zaffre.upstream.requests import host_architecture
from zaffre.upstream.solving import SetRequest
from zaffre.upstream.world import Chosen

_DEBUG = re.compile(r"-debug(?:info|source)-")
_NOON = 43_200
_DAY = 86_400
_MOST_ROUNDS = 10


class RpmBuild:
    """A source of the upstream, rebuilt; or one of our own."""

    def __init__(self, source: RpmSource) -> None:
        self._source = source

    def choose(self, bench: Bench, choice: Choice) -> Chosen:
        name = self._source.package
        if name is None:
            return self._chosen(bench, choice, None)
        found = choice.repositories.source(name)
        if found is None:
            binaries = choice.repositories.binaries_of(name, bench.architecture)
            if not binaries:
                raise DefinitionError(
                    f"the upstream has no source package '{name}'",
                    where=f"{bench.component.file}: source.package",
                    resolution="mend the name; it is that of the source, which can be another than its packages'. "
                    "Sources that have a repository of their own need it in the upstream's `source_repositories`",
                )
            return upstream_binary(name, "", binaries, f"no repository of the upstream has the source '{name}'")
        try:
            self.fetch(bench, found.source)
        except SourceGoneError as error:
            why = f"the source {name} {found.source.version} is at no mirror ({error.where})"
            return upstream_binary(name, found.source.version, found.binaries, why)
        return self._chosen(bench, choice, found.source)

    def fetch(self, bench: Bench, source: LockedSource) -> None:
        if self._source.package is None:
            return
        bench.fetch(source.files, title=f"source {source.name} {source.version}")
        verify_rpm_source(source, _upstream(bench), store=bench.store, now=bench.time)

    def make(self, bench: Bench, order: Order, scratch: Path) -> Made:
        if order.installed is None:
            raise AssertionError
        _check_machine(bench)
        source = order.locked.source
        self.fetch(bench, source)
        with build_root(bench, order.installed, SOURCES) as root:
            spec = lay_sources(bench, self._source, source, root)
            environment = {"RPM_BUILD_NCPUS": str(bench.sandbox.jobs)}
            if source.epoch is not None:
                environment["SOURCE_DATE_EPOCH"] = str(source.epoch)
            log = root.run(["rpmbuild", "-bb", *macros(bench), spec], env=environment, scratch=scratch)
            found = [path for path in plain_files(root.root, f"{PLACE}/RPMS") if not _DEBUG.search(path.name)]
            return Made(tuple(Path(shutil.copy2(path, scratch / path.name)) for path in found), log)

    def _chosen(self, bench: Bench, choice: Choice, source: LockedSource | None) -> Chosen:
        _check_machine(bench)
        request = SetRequest(
            name=f"{BUILD_PREFIX}{bench.component.name}",
            packages=_upstream(bench).build_packages,
            architecture=bench.architecture,
        )
        with ExitStack() as stack:
            root = _root(bench, choice, request, stack)
            reading = read_spec(bench, root, lay_sources(bench, self._source, source, root))
        request = replace(request, relations=reading.relations)
        if reading.generates:
            request = self._with_generated(bench, choice, source, request)
        return Chosen(source=_dated(bench, choice, source, reading), gives=reading.gives, build=request)

    def _with_generated(
        self, bench: Bench, choice: Choice, source: LockedSource | None, request: SetRequest
    ) -> SetRequest:
        """With what the source finds out itself that it is built with (%generate_buildrequires), round by round."""
        for _ in range(_MOST_ROUNDS):
            with ExitStack() as stack:
                root = _root(bench, choice, request, stack)
                more = generated(bench, root, lay_sources(bench, self._source, source, root))
            new = [one for one in more if one not in request.relations]
            if not new:
                return request
            request = replace(request, relations=(*request.relations, *new))
        raise DefinitionError(
            f"what '{bench.component.name}' is built with has no end: each time it names something more",
            where=bench.component.file,
            details=", ".join(request.relations),
            resolution="mend its %generate_buildrequires by an overlay",
        )


def _upstream(bench: Bench) -> RpmUpstream:
    """The definition does not load when it is one of another family."""
    return cast("RpmUpstream", bench.distribution.upstream_of_component(bench.component))


def _check_machine(bench: Bench) -> None:
    machine = host_architecture()
    if bench.architecture != machine:
        raise WorldError(
            f"'{bench.component.name}' for {bench.architecture} is read and built on a machine of that kind alone",
            where=f"{bench.component.folder} ({bench.architecture})",
            resolution=f"this one is for {machine}: lock and build it on another, or leave the architecture out",
        )


def _root(bench: Bench, choice: Choice, request: SetRequest, stack: ExitStack) -> BuildRoot:
    """A root in which the source can be read: of the upstream's packages alone."""
    solver = stack.enter_context(choice.repositories.solver(bench.sandbox, bench.store))
    packages = solver.solve(request).packages
    acceptance = Acceptance(bench.distribution.upstreams.values(), bench.store, now=bench.time)
    fetch(packages, bench.mirrors, bench.store, bench.progress, acceptance=acceptance, limits=bench.limits)
    installed = LockedSet(
        name=request.name,
        architecture=request.architecture,
        upstream=_upstream(bench).name,
        request=EMPTY,
        packages=packages,
    )
    return stack.enter_context(build_root(bench, installed, SOURCES))


def _dated(bench: Bench, choice: Choice, source: LockedSource | None, reading: Reading) -> LockedSource:
    """The source with a time, unless rpmbuild takes that from the changelog.

    The files of a spec of our own have the times of a clone, so they are given this one: that of its changelog, else
    the day on which it is locked. A day is taken for its beginning, as by rpm (build/build.c), so that no builder's
    clock is before it: only files that are newer than that time are given it.
    """
    if source is None:
        changed = reading.changed
        if changed is None or changed % _DAY == _NOON:  # an entry that says no hour
            changed = (changed or int(choice.now.timestamp())) // _DAY * _DAY
        return LockedSource(name=reading.name, version=reading.version, epoch=changed)
    if reading.changed is not None:
        return source
    made = verify_rpm_source(source, _upstream(bench), store=bench.store, now=bench.time)
    return source.model_copy(update={"epoch": made})
