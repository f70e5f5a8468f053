# SPDX-License-Identifier: Apache-2.0
"""What overlays say of how a source is built, gathered for the build. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zaffre.definition import Component, DebSource, GoModule
from zaffre.definition.operations import (
    BuildEnvironment,
    BuildFlag,
    BuildOptionChange,
    BuildProfile,
    Operation,
    TestsSkip,
)


@dataclass(frozen=True)
class Settings:
    """`options` are words of DEB_BUILD_OPTIONS, or Go's build tags; `profiles` of DEB_BUILD_PROFILES.

    `environment` holds the variables that are set for all of the build. A spec has its own in its text, where the
    overlays wrote them.
    """

    options: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    tests: bool = True


def settings_of(component: Component) -> Settings:
    operations: list[Operation] = [one for overlay in component.overlays for one in overlay.operations]
    tests = not any(isinstance(one, TestsSkip) for one in operations)
    if isinstance(component.source, GoModule):
        environment = {**component.build.environment, **_environment(operations)}
        if component.build.fips is not None:
            environment["GOFIPS140"] = component.build.fips
        return Settings(options=component.build.options, environment=environment, tests=tests)
    if not isinstance(component.source, DebSource):
        return Settings(tests=tests)
    options = [one.option for one in operations if isinstance(one, BuildOptionChange)]
    profiles = [one.profile for one in operations if isinstance(one, BuildProfile)]
    if not tests:
        options.append("nocheck")
        profiles.append("nocheck")
    flags: dict[str, str] = {}
    for one in operations:
        if isinstance(one, BuildFlag):
            # dpkg-buildflags(1): appended to what the distribution's policy gives
            name = f"DEB_{one.flag}_APPEND"
            flags[name] = f"{flags[name]} {one.append}" if name in flags else one.append
    return Settings(
        options=tuple(dict.fromkeys(options)),
        profiles=tuple(dict.fromkeys(profiles)),
        environment={**flags, **_environment(operations)},
        tests=tests,
    )


def _environment(operations: list[Operation]) -> dict[str, str]:
    return {one.name: one.value for one in operations if isinstance(one, BuildEnvironment)}
