# SPDX-License-Identifier: Apache-2.0
"""What of a lock a snapshot holds, and what it must be able to install. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from zaffre.definition import OWN, TOOLS, DebUpstream, Distribution, Image
from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, FindingError
from zaffre.upstream.lock import CROSS_PREFIX, BuiltPackage, Lock, LockedComponent, LockedPackage, LockedSet
from zaffre.upstream.solving import SetRequest

Packages = tuple[LockedPackage, ...]


@dataclass(frozen=True)
class Promise:
    """A set that must be installable from the snapshot alone, at just these versions.

    `spare`: a package that a component gave and nothing asks for. It is left out when it is not installable.
    """

    request: SetRequest
    packages: Packages
    spare: bool = False


@dataclass(frozen=True)
class Selection:
    """`machines` is what machines can install, by architecture; `builders` is what images are built with.

    `controls` has the control files that are known without reading a package. `left_out` names images that a Debian
    repository cannot hold.
    """

    images: tuple[str, ...]
    machines: Mapping[str, Packages]
    builders: Mapping[str, Packages]
    promises: tuple[Promise, ...]
    controls: Mapping[Sha256, str]
    left_out: tuple[str, ...]
    components: tuple[LockedComponent, ...] = ()
    """Those that are built here, and of which machines have something."""

    @property
    def architectures(self) -> tuple[str, ...]:
        return tuple(sorted({*self.machines, *self.builders}))

    @property
    def packages(self) -> Packages:
        """All of them, each file once."""
        return _unique(*self.machines.values(), *self.builders.values())

    def without(self, packages: Collection[LockedPackage]) -> Selection:
        """The same without packages that machines could have installed."""
        gone = {package.sha256 for package in packages}
        return replace(
            self,
            machines={
                architecture: tuple(one for one in found if one.sha256 not in gone)
                for architecture, found in self.machines.items()
            },
            promises=tuple(
                one for one in self.promises if not gone.intersection(package.sha256 for package in one.packages)
            ),
        )


def select(
    distribution: Distribution, lock: Lock, images: Sequence[str] = (), extra: Sequence[BuiltPackage] = ()
) -> Selection:
    """What the lock names: the sets of the images (of all, unless some are named) and, unless some are named, what
    `repository.packages` calls for; our components' packages, and what it all is built with; and `extra` packages
    that no lock names.

    Raises DefinitionError for an unknown image and one that has no Debian packages, FindingError when the lock lacks
    one that is named, or has two packages of one name and version that differ.
    """
    chosen, left_out = _images(distribution, images)
    besides = [OWN] if distribution.repository_packages and not images else []
    sets = [one for one in lock.sets if one.name in {*chosen, *besides}]
    if absent := [name for name in (*chosen, *besides) if name not in {one.name for one in sets}]:
        raise FindingError(
            f"the lock has no packages for '{absent[0]}'",
            where=str(distribution.lock_file),
            resolution="run `zaffre lock`",
        )
    in_sets = {package.sha256 for one in sets for package in one.packages}
    components = [
        part
        for part in lock.components
        if part.architecture in {one.architecture for one in sets}
        and (not images or any(one.package.sha256 in in_sets for one in part.packages))
    ]
    machines = {
        architecture: _unique(
            *(one.packages for one in sets if one.architecture == architecture),
            *((one.package for one in part.packages) for part in components if part.architecture == architecture),
            (one.package for one in extra if one.package.architecture in {architecture, "all"}),
        )
        for architecture in sorted({one.architecture for one in sets})
    }
    built_with = {part.build_set for part in components}
    _refuse_contradictions(machines)
    building = [
        one for one in lock.sets if one.name == TOOLS or one.name.startswith(CROSS_PREFIX) or one.name in built_with
    ]
    builders = {
        architecture: _unique(*(one.packages for one in building if one.architecture == architecture))
        for architecture in sorted({one.architecture for one in building})
    }
    ours = [*(one for part in components for one in part.packages), *extra]
    return Selection(
        images=tuple(chosen),
        machines=machines,
        builders=builders,
        promises=tuple(_promises(distribution, sets, machines, {one.package.sha256 for one in extra})),
        controls={one.package.digest: one.control for one in ours},
        left_out=tuple(left_out),
        components=tuple(part for part in components if part.packages),
    )


def _images(distribution: Distribution, names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Images with their bases, and those that are left out since nobody asked for them by name."""
    wanted = [distribution.image(name) for name in (names or sorted(distribution.images))]
    wanted += [distribution.image(image.base) for image in wanted if image.base is not None]
    unsuited = sorted({image.name for image in wanted if not _is_debian(distribution, image)})
    if names and unsuited:
        raise DefinitionError(
            f"'{unsuited[0]}' is made of RPM packages, which an apt repository cannot hold",
            where=f"images/{unsuited[0]}.toml: upstream",
            resolution="name other images with --image",
        )
    chosen = sorted({image.name for image in wanted} - set(unsuited))
    if not chosen:
        raise DefinitionError(
            "no image of the distribution is made of Debian packages", where=str(distribution.root / "images")
        )
    return chosen, unsuited


def _is_debian(distribution: Distribution, image: Image) -> bool:
    return isinstance(distribution.upstream_of(image), DebUpstream)


def _refuse_contradictions(machines: Mapping[str, Packages]) -> None:
    """One name, version and architecture must be one file: apt could not tell two apart."""
    for packages in machines.values():
        seen: dict[tuple[str, str, str], LockedPackage] = {}
        for package in packages:
            other = seen.setdefault((package.name, package.version, package.architecture), package)
            if other is not package:
                raise FindingError(
                    f"there are two different packages {package.name} {package.version}",
                    where=f"{package.name} ({package.architecture})",
                    details="\n".join(f"{one.sha256} of {one.archive}, {one.path}" for one in (other, package)),
                    resolution="give the one that you make another version; if both are the upstream's, run "
                    f"`zaffre lock --update {package.name}`",
                )


def _unique(*groups: Iterable[LockedPackage]) -> Packages:
    """The packages of all groups, each file once."""
    return tuple({package.sha256: package for package in chain(*groups)}.values())


def _promises(
    distribution: Distribution, sets: Sequence[LockedSet], machines: Mapping[str, Packages], extra: Collection[str]
) -> Iterable[Promise]:
    """Each set, and for each architecture what is in no set: the rest of our own packages."""
    images = [distribution.image(one.name) for one in sets if one.name != OWN]
    for one in sets:
        if one.name == OWN:
            yield Promise(_request(OWN, one.architecture, one.packages, ()), one.packages)
            continue
        image = distribution.image(one.name)
        base = distribution.image(image.base) if image.base is not None else None
        below = next((other.packages for other in sets if base and other.key == (base.name, one.architecture)), ())
        provides = (*image.provides, *(base.provides if base else ()))
        packages = _unique(one.packages, below)
        request = _request(one.name, one.architecture, packages, provides, essential=image.essential)
        yield Promise(request, packages)
    for architecture, packages in machines.items():
        in_sets = {package.sha256 for one in sets if one.architecture == architecture for package in one.packages}
        provides = tuple(sorted({name for image in images for name in image.provides}))
        for package in packages:
            if package.sha256 not in in_sets:
                request = _request(package.name, architecture, (package,), provides)
                yield Promise(request, (package,), spare=package.sha256 not in extra)


def _request(
    name: str, architecture: str, packages: Packages, provides: Iterable[str], *, essential: bool = True
) -> SetRequest:
    names = tuple(sorted({package.name for package in packages}))
    return SetRequest(name, names, architecture, tuple(sorted(set(provides))), essential=essential)
