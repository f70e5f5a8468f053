# SPDX-License-Identifier: Apache-2.0
"""Which version of a component the upstream has, and whether it is as new as another. Pure."""

from __future__ import annotations

from zaffre.component.rpmversion import rpm_version_key
from zaffre.definition import DebBinary, DebSource, Distribution, GoModule
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
    if lock is None:
        return _of_modules(distribution)
    sources: dict[tuple[str, str], str] = {}
    binaries: dict[tuple[str, str], str] = {}
    for locked in lock.sets:
        for package in locked.packages:
            if package.archive != COMPONENTS:
                _newer(sources, (locked.upstream, package.source), package.source_version)
                _newer(binaries, (locked.upstream, package.name), package.version)
    found = _of_modules(distribution)
    for component in distribution.components.values():
        if not component.overlays:
            continue
        upstream = component.upstream or distribution.defaults.upstream
        match component.source:
            case DebSource(package=name):
                version = sources.get((upstream, name))
            case DebBinary(packages=names):
                version = binaries.get((upstream, names[0]))
            case _:
                version = None
        if version is not None:
            found[component.name] = version
    found |= {one.name: one.source.version for one in lock.components if one.name in distribution.components}
    return found


def _newer(known: dict[tuple[str, str], str], key: tuple[str, str], version: str) -> None:
    if key not in known or version_key(known[key]) < version_key(version):
        known[key] = version


def _of_modules(distribution: Distribution) -> dict[str, str]:
    return {
        one.name: one.source.version for one in distribution.components.values() if isinstance(one.source, GoModule)
    }
