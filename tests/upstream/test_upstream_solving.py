# SPDX-License-Identifier: Apache-2.0
"""apt as the solver, over a simulated repository. The host's apt stands in for that of a tools tree."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.repository import Archive, Deb
from support.upstreams import Refresh, said
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream.deb.aptwords import plain_reason
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.deb.solve import Solver, resolve
from zaffre.upstream.solving import SetRequest, Solution

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        "CI" not in os.environ and not (shutil.which("apt-get") and shutil.which("bwrap")),
        reason="needs apt and bubblewrap",
    ),
]


@pytest.fixture
def archive(key: Tsk) -> Archive:
    archive = Archive()
    amd64 = {"architecture": "amd64"}
    packages = [
        Deb("base", fields={"Essential": "yes", "Depends": "libc"}, **amd64),
        Deb("base", architecture="arm64", fields={"Essential": "yes", "Depends": "libc"}),
        Deb("libc", "2.41-1", **amd64),
        Deb("libc", "2.41-1", architecture="arm64"),
        Deb("app", "1.0-1", fields={"Depends": "libapp (>= 1), mta", "Recommends": "docs"}),
        Deb("libapp", "1.0-1", fields={"Source": "app"}),
        Deb("docs"),
        Deb("exim", fields={"Provides": "mta", "Conflicts": "mta"}),
        Deb("postfix", fields={"Provides": "mta", "Conflicts": "mta"}),
        Deb("needy", fields={"Depends": "unobtainium (>= 3)"}),
        Deb("kernel", fields={"Depends": "initramfs-tools | initramfs-tool"}),
        Deb("initramfs-tools", fields={"Provides": "initramfs-tool"}),
        Deb("against", fields={"Conflicts": "initramfs-tool"}),
    ]
    for deb in packages:
        archive.add(deb)
    archive.publish([key], architectures=("amd64", "arm64"))
    return archive


@pytest.fixture
def indexes(look: Refresh) -> Indexes:
    return look(architectures=("amd64", "arm64"))


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox(ToolsTree(Path("/"), "host"))


def solve(
    indexes: Indexes,
    sandbox: Sandbox,
    store: Store,
    *packages: str,
    keep: Mapping[str, str] | None = None,
    **more: object,
) -> Solution:
    request = SetRequest(**{"name": "test", "packages": packages, "architecture": "amd64", **more})  # type: ignore[arg-type]
    with Solver(indexes, sandbox, store) as solver:
        return solver.solve(request, keep=keep)


def versions(solution: Solution) -> dict[str, str]:
    return {package.name: package.version for package in solution.packages}


def names(solution: Solution) -> list[str]:
    return [package.name for package in solution.packages]


def test_essential_packages_and_dependencies_come_along(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    packages = resolve(SetRequest("test", ("app", "exim"), "amd64"), indexes, sandbox, store=store)
    assert [(one.name, one.architecture) for one in packages] == [
        ("app", "all"),
        ("base", "amd64"),
        ("exim", "all"),
        ("libapp", "all"),
        ("libc", "amd64"),
    ]
    assert packages[3].source == "app"
    assert packages[0].suite == "stable"


def test_recommends_only_when_asked(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    assert "docs" not in names(solve(indexes, sandbox, store, "app", "exim"))
    assert "docs" in names(solve(indexes, sandbox, store, "app", "exim", recommends=True))


def test_another_architecture(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    found = solve(indexes, sandbox, store, "app", "postfix", architecture="arm64")
    assert {(one.name, one.architecture) for one in found.packages} >= {("base", "arm64"), ("libc", "arm64")}


def test_what_the_image_provides_is_not_installed(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    assert "initramfs-tools" in names(solve(indexes, sandbox, store, "kernel"))
    provided = solve(indexes, sandbox, store, "kernel", provides=("initramfs-tool",))
    assert names(provided) == ["base", "kernel", "libc"]
    versioned = solve(indexes, sandbox, store, "needy", provides=("unobtainium (= 3.1)",))
    assert names(versioned) == ["base", "libc", "needy"]


def test_one_solver_for_several_requests(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    with Solver(indexes, sandbox, store) as solver:
        one = solver.solve(SetRequest("a", ("kernel",), "amd64", provides=("initramfs-tool",)))
        two = solver.solve(SetRequest("b", ("kernel",), "amd64"))
    assert len(two.packages) == len(one.packages) + 1


def test_a_package_against_what_is_provided(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    with pytest.raises(DefinitionError) as caught:
        solve(indexes, sandbox, store, "against", provides=("initramfs-tool",))
    assert "a package of 'test' conflicts with what the image provides by itself" in said(caught.value)


def test_an_unknown_package_has_near_names(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    with pytest.raises(DefinitionError) as caught:
        solve(indexes, sandbox, store, "postfi")
    text = said(caught.value)
    assert "test: packages: 'postfi' is in no suite of the upstream for amd64" in text
    assert "did you mean 'postfix'?" in text


def test_all_unknown_packages_at_once(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    with pytest.raises(DefinitionError) as caught:
        solve(indexes, sandbox, store, "xyzzy-plugh", "libap", "mta")
    text = said(caught.value)
    assert "3 packages of 'test' do not exist" in text
    assert "'mta' is a virtual package, provided by exim, postfix" in text
    assert "did you mean 'libapp'?" in text


def test_packages_that_exclude_each_other(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    with pytest.raises(DefinitionError) as caught:
        solve(indexes, sandbox, store, "exim", "postfix")
    text = said(caught.value)
    assert "the packages of 'test' cannot be installed together on amd64" in text
    assert "exim and " in text
    assert "exclude each other" in text


def test_a_dependency_that_nobody_has(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    with pytest.raises(DefinitionError) as caught:
        solve(indexes, sandbox, store, "needy")
    assert "needy needs unobtainium (>= 3), which cannot be installed with the others" in said(caught.value)


@pytest.fixture
def two_versions(archive: Archive, key: Tsk, look: Refresh) -> Indexes:
    archive.add(Deb("app", "2.0-1", fields={"Depends": "libapp (>= 2), mta"}))
    archive.add(Deb("libapp", "2.0-1", fields={"Source": "app"}))
    archive.publish([key], architectures=("amd64", "arm64"))
    return look(architectures=("amd64", "arm64"))


def test_locked_versions_are_kept(two_versions: Indexes, sandbox: Sandbox, store: Store) -> None:
    newest = solve(two_versions, sandbox, store, "app", "exim")
    assert versions(newest)["app"] == "2.0-1"
    kept = solve(
        two_versions, sandbox, store, "app", "exim", keep={"app": "1.0-1", "libapp": "1.0-1", "libc": "2.41-1"}
    )
    assert versions(kept).items() >= {"app": "1.0-1", "libapp": "1.0-1"}.items()
    assert kept.released == ()


def test_a_version_that_is_gone_moves_and_is_reported(two_versions: Indexes, sandbox: Sandbox, store: Store) -> None:
    found = solve(
        two_versions, sandbox, store, "app", "exim", keep={"app": "0.9-1", "libapp": "0.9-1", "libc": "2.41-1"}
    )
    assert versions(found)["app"] == "2.0-1"
    assert found.released == ("app", "libapp")


def test_only_the_pins_in_the_way_are_released(two_versions: Indexes, sandbox: Sandbox, store: Store) -> None:
    """The old app is gone from the index, so its library must move; the rest stays."""
    found = solve(
        two_versions, sandbox, store, "app", "exim", keep={"app": "0.9-1", "libapp": "1.0-1", "libc": "2.41-1"}
    )
    assert versions(found).items() >= {"app": "2.0-1", "libapp": "2.0-1", "libc": "2.41-1"}.items()
    assert found.released == ("app", "libapp")


def test_apt_is_put_into_plain_words() -> None:
    stdout = """Reading package lists...
The following packages have unmet dependencies:
 exim4 : Depends: exim4-light (>= 4.98) but it is not installable or
                  exim4-heavy (>= 4.98) but it is not installable
 exim4-config : Conflicts: postfix but 3.10 is to be installed
 postfix : Conflicts: exim4-config
           Depends: libssl3 (= 3.5) but 3.6 is to be installed
 other : PreDepends: awk but it is a virtual package
         Depends: foo but it is not going to be installed
"""
    stderr = "E: Unable to correct problems, you have held broken packages.\nE: something more\n"
    assert plain_reason(stdout, stderr).splitlines() == [
        "exim4-config and postfix exclude each other",
        "exim4 needs one of exim4-light (>= 4.98), exim4-heavy (>= 4.98), which cannot be installed with the others",
        "postfix needs libssl3 (= 3.5), but 3.6 would be installed",
        "other needs awk, which is only a virtual package",
        "other needs foo, which cannot be installed with the others",
        "apt's own words:",
        "  something more",
    ]
    assert plain_reason("", "E: Broken\n") == "apt's own words:\n  Broken"


def test_others_may_use_the_store_meanwhile(indexes: Indexes, sandbox: Sandbox, store: Store) -> None:
    """Whoever uses a blob sets its time, and apt takes a file of another time for another file."""
    ended = threading.Event()

    def use() -> None:
        while not ended.wait(0.001):
            for index in indexes.universe("amd64").indexes:
                store.has(index.sha256)

    thread = threading.Thread(target=use)
    thread.start()
    try:
        for _ in range(3):
            assert "base" in versions(solve(indexes, sandbox, store, "libapp"))
    finally:
        ended.set()
        thread.join()
