# SPDX-License-Identifier: Apache-2.0
"""Which versions of a Go module are offered: releases that come after, that nobody took back, that its Go can build."""

from __future__ import annotations

import pytest

from zaffre.component.goversions import newer_releases, order, retracted, too_old, toolchain_of, wanted_go
from zaffre.upstream.lock import LockedPackage, LockedSet

LISTED = ("v1.2.0", "v1.10.0", "v1.2.10", "v1.2.9", "v1.3.0-rc.1", "v2.0.0+incompatible", "v0.9.0", "latest", "v1.4")


@pytest.mark.parametrize(
    ("current", "newer"),
    [
        ("v1.2.9", ("v1.10.0", "v1.2.10")),
        ("v1.2.0-rc.3", ("v1.10.0", "v1.2.10", "v1.2.9", "v1.2.0")),
        ("v0.0.0-20260102030405-abcdefabcdef", ("v1.10.0", "v1.2.10", "v1.2.9", "v1.2.0", "v0.9.0")),
        ("v1.10.0", ()),
        ("v1.0.0+incompatible", ("v2.0.0+incompatible",)),
    ],
)
def test_releases_that_come_after(current: str, newer: tuple[str, ...]) -> None:
    assert newer_releases(current, LISTED) == newer


def test_a_release_comes_after_its_candidates() -> None:
    assert order("v1.2.0-rc.1") < order("v1.2.0") < order("v1.2.1-rc.1")
    with pytest.raises(ValueError, match=r"'1\.2\.0' is not the version of a Go module"):
        order("1.2.0")


GO_MOD = """\
module example.org/m // retract v1.0.9

go 1.25.0

retract v1.0.0 // by mistake
retract (
	v1.1.0
	[v1.2.0, v1.2.5] // leaks
)
retract [ v1.4.0 , v1.4.1 ]
"""


@pytest.mark.parametrize(
    ("version", "gone"),
    [
        ("v1.0.0", True),
        ("v1.0.9", False),
        ("v1.1.0", True),
        ("v1.1.1", False),
        ("v1.2.0", True),
        ("v1.2.3", True),
        ("v1.2.5", True),
        ("v1.2.6", False),
        ("v1.4.1", True),
    ],
)
def test_what_was_taken_back(version: str, *, gone: bool) -> None:
    assert retracted(GO_MOD, version) is gone


def test_the_go_that_a_module_asks_for() -> None:
    assert wanted_go(GO_MOD) == "1.25.0"
    assert wanted_go("module m\n\ngo 1.24 // comment\n") == "1.24"
    assert wanted_go("module m\n") is None


def package(name: str, version: str) -> LockedPackage:
    return LockedPackage(
        name=name,
        version=version,
        architecture="amd64",
        sha256="0" * 64,
        size=1,
        path=f"pool/{name}.deb",
        suite="stable",
        archive="debian",
        source=name,
        source_version=version,
    )


def test_the_go_that_a_component_is_built_with() -> None:
    packages = (
        package("golang-go", "2:1.24~2"),
        package("golang-1.24-go", "1.24.4-1+deb13u2"),
        package("golang-1.24-src", "1.24.9-1"),
    )
    installed = LockedSet(
        name="component:m", architecture="amd64", upstream="debian", request="0" * 64, packages=packages
    )
    assert toolchain_of(installed) == "1.24.4"
    assert toolchain_of(installed.model_copy(update={"packages": ()})) is None


@pytest.mark.parametrize(
    ("toolchain", "wanted", "old"),
    [
        ("1.24.4", "1.24", False),
        ("1.24.4", "1.24.4", False),
        ("1.24.4", "1.24.5", True),
        ("1.24.4", "1.25.0", True),
        ("1.9", "1.10", True),
    ],
)
def test_a_go_that_is_too_old(toolchain: str, wanted: str, *, old: bool) -> None:
    assert too_old(toolchain, wanted) is old
