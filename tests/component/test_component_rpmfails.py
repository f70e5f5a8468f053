# SPDX-License-Identifier: Apache-2.0
"""Specs that cannot be read, and builds of RPM components that fail."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest

from support.rpm_components import MORE, NEEDS, PATCH, Shop
from support.upstreams import said
from zaffre.errors import DefinitionError, DiskFullError, ToolError

pytestmark = NEEDS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("Name: ours", "Name: ours\n%if 1"), "rpm does not accept the spec of 'ours'"),
        (("Version: 3", "Version: 3-4-5"), "Illegal char '-'"),
        (("Source0: data.txt", "Source0: data.txt\nSource1: https://ours.example/absent.tar"), "absent.tar"),
        (("%files", "%files -n nobody"), "nobody"),
    ],
)
def test_specs_that_rpm_does_not_accept(shop: Shop, change: tuple[str, str], words: str) -> None:
    shop.ours()
    place = shop.root / "components/ours/ours.spec"
    place.write_text(place.read_text().replace(*change, 1))
    said = shop.refused(DefinitionError, components=["ours"])
    assert words in said
    assert "components/ours: ours.spec" in said


def test_what_it_is_built_with_cannot_be_had(shop: Shop) -> None:
    shop.ours(head="BuildRequires: helper >= 9:9, (nobody if helper)")
    words = shop.refused(DefinitionError, components=["ours"])
    assert "component:ours needs helper >= 9:9, which no repository has" in words
    assert "by an overlay" in words


def test_overlays_that_match_nothing(shop: Shop) -> None:
    shop.overlay('[[operations]]\nop = "search-replace"\npath = "greeter.spec"\nsearch = "nowhere"\nreplace = "x"\n')
    words = shop.refused(DefinitionError)
    assert "components/greeter/overlays/0001-x.toml: operations[0]" in words


def test_a_patch_that_does_not_apply_fails_the_build(shop: Shop) -> None:
    shop.overlay(MORE)
    shop.write("components/greeter/more.patch", PATCH.replace(" echo again", " echo never"))
    words = shop.refused(ToolError)
    assert "the build of 'greeter' failed" in words
    assert "zaffre component log greeter" in words


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("bash -c '</dev/tcp/192.0.2.1/80'", "the build wants the network, which no build has"),
        ("touch /usr/share/outside", "may write to its own folder and /tmp only, not to /usr/share/outside"),
        ("echo to be seen; false", "to be seen"),
        ("touch %{buildroot}/usr/share/undeclared", "Installed (but unpackaged) file(s) found"),
    ],
)
def test_builds_that_fail_say_why_and_keep_their_log(shop: Shop, step: str, words: str) -> None:
    shop.ours(step=step)
    lock = shop.lock(components=["ours"]).lock
    with pytest.raises(ToolError) as caught:
        shop.build(lock, "ours")
    assert words in said(caught.value)
    assert "zaffre component log ours" in said(caught.value)
    assert "Executing(%install)" in shop.log("ours")
    assert not Path("/usr/share/outside").exists()


def test_a_build_that_hangs_is_stopped(shop: Shop) -> None:
    shop.ours(step="echo waiting; sleep 600")
    lock = shop.lock(components=["ours"]).lock
    engine = shop.engine()
    one = engine.distribution.component("ours")
    hasty = one.build.model_copy(update={"time_limit_minutes": 0.1})
    engine.distribution.components["ours"] = one.model_copy(update={"build": hasty})  # type: ignore[index]
    with pytest.raises(ToolError) as caught:
        shop.build(lock, "ours", engine=engine)
    assert "did not end within its 0.1 minutes and was stopped" in said(caught.value)


@pytest.fixture
def nearly_full(tmp_path: Path, unmet: Callable[[str], NoReturn]) -> Iterator[Callable[[Path], Path]]:
    """Moves a folder to a file system on which eight MiB are left."""
    path = tmp_path / "full"
    path.mkdir()

    def move(folder: Path) -> Path:
        used = int(subprocess.run(["du", "-sk", folder], check=True, capture_output=True, text=True).stdout.split()[0])
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={used + 8192}k", "none", path], check=False)
        if mounted.returncode:
            unmet("cannot mount a small file system")
        subprocess.run(["cp", "-a", f"{folder}/.", path], check=True)
        return path

    yield move
    subprocess.run(["umount", "--lazy", path], check=False)


def test_a_build_that_fills_the_disk(shop: Shop, tmp_path: Path, nearly_full: Callable[[Path], Path]) -> None:
    shop.ours()
    lock = shop.lock(components=["ours"]).lock
    shop.provide(lock, "ours")
    with shop.built_root(lock, "ours") as root:
        small = replace(root, root=nearly_full(root.root))
        with pytest.raises(DiskFullError):
            small.run(["/bin/sh", "-c", "echo begun; exec cat /dev/zero >file"], env={}, scratch=tmp_path)


def test_a_program_of_a_spec_that_reads_runs_as_nobody_of_importance(shop: Shop) -> None:
    shop.ours(head="Provides: user(%(id -u)), net(%(cat /sys/class/net/*/address 2>/dev/null | wc -l))")
    lock = shop.lock(components=["ours"]).lock
    built = shop.build(lock, "ours")
    assert '"user(1000)"' in built.packages[0].control
