# SPDX-License-Identifier: Apache-2.0
"""Which version of a component the upstream has, and whether it is as new as another. Pure."""

from __future__ import annotations

from collections.abc import Callable

from zaffre.component.rpmversion import rpm_version_key
from zaffre.definition import Component, DebBinary, DebSource, Distribution, GoModule, RpmSource
from zaffre.upstream.deb.version import version_key
from zaffre.upstream.lock import COMPONENTS, Lock


def reached(version: str, until: str, kind: str) -> bool:
    """Whether an upstream's version is that of `until` or a later one, for a kind of source.

    The epoch counts only where `until` names one, and "v1.34.0-rc.1" comes before "v1.34.0", as in Go.
    Raises ValueError for what is not a version of that kind.
    """
    if ":" not in until:
        version = version.rpartition(":")[2]
    if kind == "rpm":
        return rpm_version_key(version) >= rpm_version_key(until)
    if kind == "go-module":
        version, until = (one.removeprefix("v").replace("-", "~") for one in (version, until))
    return version_key(version) >= version_key(until)


def upstream_versions(distribution: Distribution, lock: Lock | None) -> dict[str, str]:
    """The upstream's version of each component with overlays, as far as the lock or the definition has it."""
    found = {
        one.name: one.source.version for one in distribution.components.values() if isinstance(one.source, GoModule)
    }
    if lock is None:
        return found
    locked = _Locked(distribution, lock)
    for component in distribution.components.values():
        version = locked.version_of(component) if component.overlays else None
        if version is not None:
            found[component.name] = version
    # What a component was locked with counts more than what images took of the upstream before it was one.
    return found | {one.name: one.source.version for one in lock.components if one.name in distribution.components}


class _Locked:
    """The newest versions of the upstreams' packages and of their sources that a lock has."""

    def __init__(self, distribution: Distribution, lock: Lock) -> None:
        self._distribution = distribution
        self._sources: dict[tuple[str, str], str] = {}
        self._binaries: dict[tuple[str, str], str] = {}
        for locked in lock.sets:
            upstream = distribution.upstreams.get(locked.upstream)
            older = _rpm_older if upstream and upstream.family == "rpm" else _deb_older
            for package in locked.packages:
                if package.archive != COMPONENTS:
                    _newer(self._sources, (locked.upstream, package.source), package.source_version, older)
                    _newer(self._binaries, (locked.upstream, package.name), package.version, older)

    def version_of(self, component: Component) -> str | None:
        upstream = self._distribution.upstream_of_component(component).name
        match component.source:
            case DebSource(package=name):
                return self._sources.get((upstream, name))
            case DebBinary(packages=names):
                return self._binaries.get((upstream, names[0]))
            case RpmSource(package=str(name)):
                return self._sources.get((upstream, name))
            case _:
                return None


def _deb_older(version: str, other: str) -> bool:
    return version_key(version) < version_key(other)


def _rpm_older(version: str, other: str) -> bool:
    return rpm_version_key(version) < rpm_version_key(other)


def _newer(
    known: dict[tuple[str, str], str], name: tuple[str, str], version: str, older: Callable[[str, str], bool]
) -> None:
    if name not in known or older(known[name], version):
        known[name] = version
