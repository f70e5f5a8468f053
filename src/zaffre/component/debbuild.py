# SPDX-License-Identifier: Apache-2.0
"""`deb-source`: a Debian source package, changed by overlays, built by dpkg-buildpackage in a clean root."""

from __future__ import annotations

import shutil
from pathlib import Path

from zaffre.component.buildroot import PLACE, build_root
from zaffre.component.model import Bench, Choice, Made, Order
from zaffre.component.names import names_given
from zaffre.component.obtaining import SourceGoneError, upstream_binary
from zaffre.component.overlay import apply_overlays
from zaffre.component.pristine import unpack_deb_source
from zaffre.component.relations import reduced
from zaffre.component.settings import settings_of
from zaffre.definition.component import DebSource
from zaffre.errors import DefinitionError
from zaffre.store import remove_tree
from zaffre.tree.rootfs import plain_files
from zaffre.upstream.deb.control import parse_stanzas
from zaffre.upstream.lock import BUILD_PREFIX, LockedSource
from zaffre.upstream.solving import SetRequest
from zaffre.upstream.world import Chosen

_ALWAYS = ("build-essential", "fakeroot")
"""What every builder has besides the essential packages (policy 4.2); fakeroot for sources that pack as root."""
_DEPENDS = ("Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep")
_CONFLICTS = ("Build-Conflicts", "Build-Conflicts-Arch", "Build-Conflicts-Indep")
_TIMEOUT = 900.0
_DEBUG = "-dbgsym_"


class DebBuild:
    """A source of the upstream, rebuilt."""

    def __init__(self, source: DebSource) -> None:
        self._source = source

    def choose(self, bench: Bench, choice: Choice) -> Chosen:
        name = self._source.package
        found = choice.repositories.source(name)
        if found is None:
            binaries = choice.repositories.binaries_of(name, bench.architecture)
            if not binaries:
                raise DefinitionError(
                    f"the upstream has no source package '{name}'",
                    where=f"{bench.component.file}: source.package",
                    resolution="mend the name; it is that of the source, which can be another than its packages'",
                )
            return upstream_binary(name, "", binaries, f"no suite of the upstream has the source '{name}'")
        try:
            with bench.store.scratch("source") as scratch:
                tree = self._unpacked(bench, found.source, scratch)
                request = SetRequest(
                    name=f"{BUILD_PREFIX}{bench.component.name}",
                    packages=_ALWAYS,
                    architecture=bench.architecture,
                    relations=_relations(tree, bench),
                )
        except SourceGoneError as error:
            return upstream_binary(
                name,
                found.source.version,
                found.binaries,
                f"the source {name} {found.source.version} is at no mirror ({error.where})",
            )
        return Chosen(source=found.source, gives=names_given(bench.component, found.binaries), build=request)

    def make(self, bench: Bench, order: Order, scratch: Path) -> Made:
        if order.installed is None:
            raise AssertionError
        settings = settings_of(bench.component)
        source = order.locked.source
        version = source.version.partition(":")[2] or source.version
        upstream = version.rpartition("-")[0] or version
        with build_root(bench, order.installed, f"{source.name}-{upstream}") as root:
            root.folder.rmdir()
            self._unpacked(bench, source, root.folder.parent, name=root.folder.name)
            environment = {
                **settings.environment,
                "DEB_BUILD_OPTIONS": " ".join((f"parallel={bench.sandbox.jobs}", *settings.options)),
                "DEB_BUILD_PROFILES": " ".join(settings.profiles),
            }
            log = root.run(["dpkg-buildpackage", "-b", "-us", "-uc"], env=environment, scratch=scratch)
            found = [
                path for path in plain_files(root.root, PLACE) if path.suffix == ".deb" and _DEBUG not in path.name
            ]
            return Made(tuple(Path(shutil.copy2(path, scratch / path.name)) for path in found), log)

    def fetch(self, bench: Bench, source: LockedSource) -> None:
        bench.fetch(source.files, title=f"source {source.name} {source.version}")

    def _unpacked(self, bench: Bench, source: LockedSource, folder: Path, *, name: str = "source") -> Path:
        """The source, unpacked below `folder` and changed by the overlays. The index vouches for every file."""
        self.fetch(bench, source)
        tree = folder / name
        unpack_deb_source(source, tree, store=bench.store, sandbox=bench.sandbox)
        if bench.component.overlays:
            upstreams = tree.rename(folder / f"{name}.upstream")
            apply_overlays(
                bench.component,
                folder=bench.folder,
                source=upstreams,
                target=tree,
                maintainer=bench.distribution.identity.maintainer,
            )
            remove_tree(upstreams)
        return tree


def _relations(tree: Path, bench: Bench) -> tuple[str, ...]:
    """What the source says that it is built with, in apt's words, for this architecture and these profiles."""
    control = tree / "debian/control"
    try:
        fields = next(iter(parse_stanzas(control.read_text(encoding="utf-8"))))
        profiles = settings_of(bench.component).profiles
        needed = [
            group
            for name in _DEPENDS
            for group in reduced(fields.get(name, ""), architecture=bench.architecture, profiles=profiles)
        ]
        excluded = [
            f"Conflicts: {group}"
            for name in _CONFLICTS
            for group in reduced(fields.get(name, ""), architecture=bench.architecture, profiles=profiles)
        ]
    except (OSError, StopIteration, ValueError) as error:
        raise DefinitionError(
            "the source has no debian/control that can be read",
            where=bench.component.folder,
            details=str(error),
            resolution="look where the source comes from, or mend it by an overlay",
        ) from error
    return (*dict.fromkeys(needed), *dict.fromkeys(excluded))
