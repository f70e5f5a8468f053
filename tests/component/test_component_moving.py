# SPDX-License-Identifier: Apache-2.0
"""The split of containerd, moved between the versions of two real releases of Debian."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.cli.making import Making
from zaffre.cli.tools import tools_sandbox
from zaffre.component.newest import newest_source
from zaffre.component.obtaining import fetch_files
from zaffre.component.outcome import Fit
from zaffre.component.pristine import pristine
from zaffre.component.update import plan_update
from zaffre.definition import Component, load_distribution
from zaffre.definition.operations import PackageSplit
from zaffre.upstream import load_lock
from zaffre.upstream.family import family_of

pytestmark = pytest.mark.tools

HOSTS_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
OTHER = """
family = "deb"
keyring = "keyrings/host.asc"
architectures = ["amd64", "arm64"]
[[suites]]
archive = "debian"
suite = "bookworm"
components = ["main"]
[[suites]]
archive = "debian-security"
suite = "bookworm-security"
components = ["main"]
"""


@pytest.fixture(scope="module")
def moved(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The lab's distribution with its lock of Debian 13, whose upstream is Debian 12 now: as far as can be moved."""
    if not HOSTS_KEYS.exists():
        pytest.skip("the keys of other releases of Debian come with Debian itself")
    root = tmp_path_factory.mktemp("moved")
    shutil.copytree(lab.distro, root / "distro", symlinks=True)
    shutil.copytree(lab.keys, root / "keys")
    armour = base64.encodebytes(HOSTS_KEYS.read_bytes()).decode()
    block = f"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{armour}-----END PGP PUBLIC KEY BLOCK-----\n"
    (root / "distro/upstreams/keyrings/host.asc").write_text(block)
    (root / "distro/upstreams/debian.toml").write_text(OTHER)
    return Lab(root)


def lacking(component: Component, tree: Path) -> list[str]:
    """Paths of the split that the unpacked packages do not have."""
    return [
        path
        for operation in component.overlays[0].operations
        if isinstance(operation, PackageSplit)
        for path in operation.paths
        if not (tree / operation.package / path).exists()
    ]


def test_the_split_of_containerd_on_another_version(moved: Lab, tmp_path: Path) -> None:
    distribution = load_distribution(moved.distro)
    component = distribution.component("containerd")
    folder = distribution.path(component.folder)
    with moved.workspace() as work:
        making = Making(work)
        lock = load_lock(distribution.lock_file)
        assert lock
        locked = lock.component("containerd", "amd64")
        assert locked
        sandbox = tools_sandbox(work, lock)
        repositories = family_of(distribution.upstream()).refresh(
            making.mirrors,
            work.store,
            architectures=["amd64"],
            now=work.now,
            not_before={},
            progress=work.progress,
            limits=None,
        )
        other = newest_source(component, repositories, "amd64")
        assert other.version != locked.source.version
        for source in (locked.source, other):
            fetch_files(source.files, title="test", mirrors=making.mirrors, store=work.store, progress=work.progress)
        with (
            pristine(component, locked.source, work.store, sandbox) as debian13,
            pristine(component, other, work.store, sandbox) as debian12,
        ):
            (forwards,) = plan_update(component, folder=folder, old=debian12, new=debian13, scratch=tmp_path)
            (backwards,) = plan_update(component, folder=folder, old=debian13, new=debian12, scratch=tmp_path)
            missing = lacking(component, debian12)
            assert lacking(component, debian13) == []
    assert forwards.fit is Fit.CLEAN
    assert backwards.fit is (Fit.CONFLICT if missing else Fit.CLEAN)
    assert not missing or missing[0] in backwards.outcome.why

    (one,) = moved.json("component", "update", "containerd", check=False)
    assert (one["old"], one["new"]) == (locked.source.version, other.version)
    assert [overlay["fit"] for overlay in one["overlays"]] == [backwards.fit.value]
    assert one["changed"] == []


def test_drift_looks_at_the_source_that_the_lock_names(lab: Lab) -> None:
    (one,) = lab.json("drift", "containerd", check=False)["deviations"]
    assert one["state"] in {"current", "expired"}, one["because"]
    assert one["upstream_version"]
