# SPDX-License-Identifier: Apache-2.0
"""Real packages: our root against dpkg's own, twice the same, and what an image makes of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from debs import deb, entry, locked, write

from zaffre.cli.making import Making
from zaffre.definition import Distribution, Image, Upstream
from zaffre.errors import DefinitionError, ToolError
from zaffre.progress import SILENT
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Performed, Store
from zaffre.tree import (
    KernelModules,
    SetuidPolicy,
    compare_trees,
    configured_root,
    customise,
    extract_root,
    inventory_of,
    pack,
    prune,
    scan,
    scratch_for,
    setuid_policy,
    unexplained,
)
from zaffre.tree.deb.configure import build_root
from zaffre.tree.deb.ordering import needed_by
from zaffre.tree.deb.reference import EXPLAINED, reference_root
from zaffre.tree.deb.unpack import Unpacked, unpack_all
from zaffre.tree.policy import STRIP_ALL
from zaffre.tree.root import Settings
from zaffre.tree.rootfs import walk
from zaffre.tree.variable import FORGOTTEN
from zaffre.upstream.lock import LockedSet, Users

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("tree")]

EPOCH = 1_700_000_000


@dataclass(frozen=True)
class Bench:
    """The container host's locked packages, fetched, and what is needed to make something of them."""

    distribution: Distribution
    packages: LockedSet
    store: Store
    sandbox: Sandbox

    @property
    def image(self) -> Image:
        return self.distribution.image("container-host")

    @property
    def upstream(self) -> Upstream:
        return self.distribution.upstream_of(self.image)

    def settings(self) -> Settings:
        return Settings(self.image.provides, Users(), setuid_policy(self.image), EPOCH, self.packages.architecture)

    def configured(
        self, *, sandbox: Sandbox | None = None, use_cache: bool = True, backwards: bool = False
    ) -> Performed:
        return configured_root(
            self.packages.packages[::-1] if backwards else self.packages.packages,
            upstream=self.upstream,
            provides=self.image.provides,
            users=Users(),
            setuid=setuid_policy(self.image),
            epoch=EPOCH,
            architecture=self.packages.architecture,
            store=self.store,
            sandbox=sandbox or self.sandbox,
            progress=SILENT,
            use_cache=use_cache,
        )


@pytest.fixture(scope="module")
def bench(lab, tools_sandbox: Sandbox) -> Iterator[Bench]:
    with lab.workspace() as work:
        making = Making(work)
        found = making.lock.set("container-host", str(work.distribution.defaults.architecture))
        making.fetch(found.packages)
        yield Bench(work.distribution, found, work.store, tools_sandbox)


@pytest.fixture(scope="module")
def unpacked(bench: Bench) -> tuple[Unpacked, ...]:
    return unpack_all(bench.packages.packages, store=bench.store, progress=SILENT)


def test_our_root_is_dpkgs(bench: Bench, unpacked: tuple[Unpacked, ...]) -> None:
    with scratch_for(bench.store, "oracle", expected=1 << 30) as scratch:
        ours, dpkgs = scratch / "ours", scratch / "dpkgs"
        for root in (ours, dpkgs):
            root.mkdir(mode=0o755)
        build_root(unpacked, ours, bench.settings(), sandbox=bench.sandbox)
        reference_root(unpacked, dpkgs, bench.settings(), store=bench.store, sandbox=bench.sandbox)
        assert len([*walk(ours)]) > 5000
        found = unexplained(compare_trees(ours, dpkgs), EXPLAINED)
        assert [str(one) for one in found] == []


def test_the_root_depends_on_nothing_but_its_inputs(bench: Bench) -> None:
    first = bench.configured()
    late = Sandbox(bench.sandbox.tools, clock_offset_seconds=-400 * 86400, jobs=1)
    before = os.umask(0o077)
    try:
        second = bench.configured(sandbox=late, use_cache=False, backwards=True)
    finally:
        os.umask(before)
    assert second.result == first.result


def test_the_build_after_the_lock_configures_nothing_again(bench: Bench) -> None:
    users = Users.model_validate(bench.configured().result.facts["users"])
    assert users
    again = configured_root(
        bench.packages.packages,
        upstream=bench.upstream,
        provides=bench.image.provides,
        users=users,
        setuid=setuid_policy(bench.image),
        epoch=EPOCH,
        architecture=bench.packages.architecture,
        store=bench.store,
        sandbox=bench.sandbox,
        progress=SILENT,
    )
    assert again.cached
    assert again.result == bench.configured().result


def test_locked_numbers_are_those_of_the_files(bench: Bench, unpacked: tuple[Unpacked, ...], tmp_path: Path) -> None:
    users = Users.model_validate(bench.configured().result.facts["users"])
    one = next(user for user in users.users if user.name == "systemd-network")
    moved = users.model_copy(update={"users": (one.model_copy(update={"uid": 777}),)})
    performed = configured_root(
        bench.packages.packages,
        upstream=bench.upstream,
        provides=bench.image.provides,
        users=moved,
        setuid=setuid_policy(bench.image),
        epoch=EPOCH,
        architecture=bench.packages.architecture,
        store=bench.store,
        sandbox=bench.sandbox,
        progress=SILENT,
    )
    with scratch_for(bench.store, "numbers", expected=1 << 30) as scratch:
        extract_root(bench.store.path(performed.result.outputs["root"]), scratch / "root")
        assert (scratch / "root/var/lib/systemd/network").stat().st_uid == 777


def test_undeclared_setuid_files_stop_the_build_before_any_script_runs(bench: Bench) -> None:
    with pytest.raises(DefinitionError) as caught:
        configured_root(
            bench.packages.packages,
            upstream=bench.upstream,
            provides=bench.image.provides,
            users=Users(),
            setuid=SetuidPolicy(),
            epoch=EPOCH,
            architecture=bench.packages.architecture,
            store=bench.store,
            sandbox=Sandbox(None),
            progress=SILENT,
        )
    assert "/usr/bin/mount (mount)" in (caught.value.details or "")
    assert '"/usr/bin/mount"' in (caught.value.resolution or "")


def test_a_script_that_fails_shows_its_words_and_how_to_run_it_again(
    bench: Bench, unpacked: tuple[Unpacked, ...], tmp_path: Path
) -> None:
    indexes = [one.index for one in unpacked]
    base = needed_by(indexes, [index for index in indexes if index.fields.get("Essential") == "yes"])
    script = b"#!/bin/sh\necho the disk is a lie >&2\nexit 3\n"
    content = deb(name="broken", scripts=[entry("./postinst", script, mode=0o755)])
    package = locked(content, "broken")
    bench.store.add_file(write(tmp_path, content), expected=package.digest)
    wanted = {index.name for index in base}
    packages = [*(one for one in bench.packages.packages if one.name in wanted), package]
    with pytest.raises(ToolError) as caught:
        configured_root(
            packages,
            upstream=bench.upstream,
            provides=(),
            users=Users(),
            setuid=STRIP_ALL,
            epoch=EPOCH,
            architecture="amd64",
            store=bench.store,
            sandbox=Sandbox(None),
            progress=SILENT,
        )
    assert "the disk is a lie" in (caught.value.details or "")
    assert caught.value.brief == "a maintainer script of broken failed"
    assert "bwrap" in caught.value.command


def test_the_image_is_what_its_definition_says(bench: Bench) -> None:
    archive = bench.store.path(bench.configured().result.outputs["root"])
    image, distribution = bench.image, bench.distribution
    with scratch_for(bench.store, "image", expected=1 << 30) as scratch:
        root, before = scratch / "root", scratch / "before"
        extract_root(archive, before)
        lean, pruned = scratch / "lean", scratch / "pruned.tar"
        prune(archive, lean, image, architecture="amd64", sandbox=bench.sandbox)
        with pruned.open("wb") as out:
            pack(lean, scan(lean), out, mtime=lambda _: EPOCH)
        customise(
            pruned,
            root,
            image,
            distribution=distribution,
            version="zaffre.20300101.1",
            generated={"usr/lib/made": "yes\n"},
            architecture="amd64",
            epoch=EPOCH,
            sandbox=bench.sandbox,
        )
        assert "IMAGE_VERSION=zaffre.20300101.1" in (root / "usr/lib/os-release").read_text()
        assert (root / "etc/debian_version").exists()
        assert (root / "etc/machine-id").read_bytes() == b""
        assert (root / "usr/lib/made").read_text() == "yes\n"
        assert list((root / "boot").iterdir()) == []
        assert not (root / "usr/bin/dpkg").exists()
        assert "Package: containerd" in (root / "var/lib/dpkg/status").read_text()
        assert (root / "etc/systemd/system/multi-user.target.wants/containerd.service").is_symlink()
        assert str((root / "etc/systemd/system/getty.target").readlink()) == "/dev/null"
        modules = KernelModules.of_root(root)
        assert "wireguard" in modules.paths
        assert "btrfs" not in modules.paths
        missing = [
            path for path in modules.paths.values() if not (root / "usr/lib/modules" / modules.version / path).exists()
        ]
        assert missing == []
        found = inventory_of(root)
        assert found.privileged == ()
        assert {"containerd", "systemd", "crun"} <= {one.name for one in found.packages if one.bytes}
        _var_comes_back(root, before, bench.sandbox)


def _var_comes_back(root: Path, before: Path, sandbox: Sandbox) -> None:
    """What a machine's empty /var becomes has all that the packages had there, as they had it."""
    (root / "var/lib/dpkg").unlink()
    sandbox.run(
        ["systemd-tmpfiles", "--root=/run/target", "--create", "--prefix=/var"],
        mounts=[Mount(root, "/run/target", writable=True)],
        timeout=60,
        check=False,
    )
    state = (
        "var/lib/dpkg",
        "var/log/README",
        "var/run",
        "var/lock",
        *(one.lstrip("/").partition("*")[0] for one in FORGOTTEN),
    )
    for path, status in walk(before, "var"):
        if not path.startswith(state):
            assert (root / path).lstat().st_mode == status.st_mode or path.startswith("var/log/"), path
            if (root / path).is_file() and not path.startswith("var/log/"):
                assert (root / path).read_bytes() == (before / path).read_bytes()
    assert (root / "var/lib/dpkg/status").exists()
