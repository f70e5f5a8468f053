# SPDX-License-Identifier: Apache-2.0
"""The root that rpm makes of locked packages, held against the root that dpkg makes of the same files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.lab import Lab
from support.repository import keyring, signing_key
from support.rpm_lab import HOST, MANAGED
from support.rpm_scripts import LEFT_OUT
from support.rpms import Rpm, build_rpms, signed
from zaffre.cli.making import Making
from zaffre.definition import Distribution, Image, RpmUpstream
from zaffre.errors import IntegrityError, ToolError
from zaffre.progress import SILENT
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Performed, Store
from zaffre.tree import (
    STRIP_ALL,
    Explained,
    compare_trees,
    configured_root,
    extract_root,
    package_files,
    scratch_for,
    setuid_policy,
    unexplained,
)
from zaffre.tree.installed import installed_packages, owners
from zaffre.tree.rpm.configure import index_modules
from zaffre.upstream import Lock, LockedPackage, Users

pytestmark = [pytest.mark.tools, pytest.mark.xdist_group("rpm")]

EXPLAINED = (
    Explained(("/usr/lib/os-release",), "the distribution has a name of its own"),
    Explained(("/boot/**",), "kernels lie beside their modules"),
    Explained(("/usr/lib/modules/*/**",), "the same"),
)
"""Of the files that both distributions have."""


@dataclass(frozen=True)
class Bench:
    """The RPM twin of the container host: its packages, and what is needed to make something of them."""

    distribution: Distribution
    lock: Lock
    store: Store
    sandbox: Sandbox
    architecture: str

    @property
    def image(self) -> Image:
        return self.distribution.image(HOST)

    @property
    def upstream(self) -> RpmUpstream:
        found = self.distribution.upstream_of(self.image)
        assert isinstance(found, RpmUpstream)
        return found

    def packages(self, image: str = HOST) -> tuple[LockedPackage, ...]:
        return self.lock.set(image, self.architecture).packages

    def configured(
        self, image: str = HOST, *, sandbox: Sandbox | None = None, use_cache: bool = True, backwards: bool = False
    ) -> Performed:
        packages = self.packages(image)
        return configured_root(
            packages[::-1] if backwards else packages,
            upstream=self.distribution.upstreams[self.lock.set(image, self.architecture).upstream],
            provides=self.distribution.image(image).provides,
            users=Users(),
            setuid=setuid_policy(self.distribution.image(image)),
            epoch=self.lock.epoch,
            architecture=self.architecture,
            store=self.store,
            sandbox=sandbox or self.sandbox,
            progress=SILENT,
            use_cache=use_cache,
        )

    @contextmanager
    def roots(self, *images: str) -> Iterator[list[Path]]:
        """The configured roots of images, as trees."""
        with scratch_for(self.store, "rpm-roots", expected=1 << 29) as scratch:
            for image in images:
                extract_root(self.store.path(self.configured(image).result.outputs["root"]), scratch / image)
            yield [scratch / image for image in images]


@pytest.fixture(scope="module")
def bench(rpm_lab: Lab) -> Iterator[Bench]:
    with rpm_lab.workspace() as work:
        making = Making(work)
        making.fetch(package for one in making.lock.sets for package in one.packages)
        yield Bench(work.distribution, making.lock, work.store, making.sandbox, making.tools_architecture)


def test_the_root_depends_on_nothing_but_its_inputs(bench: Bench) -> None:
    first = bench.configured()
    late = Sandbox(bench.sandbox.tools, clock_offset_seconds=-400 * 86400, jobs=1)
    before = os.umask(0o077)
    try:
        second = bench.configured(sandbox=late, use_cache=False, backwards=True)
    finally:
        os.umask(before)
    assert second.result == first.result


_IN_A_NAMESPACE = """
import json, sys
from zaffre.cli.context import Workspace
from zaffre.cli.making import Making
from zaffre.progress import SILENT
from zaffre.tree import configured_root, setuid_policy
from zaffre.upstream import Users
from pathlib import Path

with Workspace() as work:
    work.distro, work.quiet = Path(sys.argv[1]), True
    making, image = Making(work), work.distribution.image(sys.argv[2])
    locked = making.lock.set(image.name, making.tools_architecture)
    performed = configured_root(
        locked.packages, upstream=work.distribution.upstream_of(image), provides=image.provides, users=Users(),
        setuid=setuid_policy(image), epoch=making.lock.epoch, architecture=locked.architecture, store=work.store,
        sandbox=making.sandbox, progress=SILENT, use_cache=False,
    )
    print(json.dumps(dict(performed.result.outputs)))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may map these ids")
def test_an_ordinary_users_namespace_gives_the_same(bench: Bench, rpm_lab: Lab) -> None:
    """With no more rights than an ordinary user has in a namespace with subordinate ids: chown, mounts, chroot."""
    words = [sys.executable, "-c", _IN_A_NAMESPACE, str(rpm_lab.distro), HOST]
    process = subprocess.Popen(
        ["unshare", "--user", "/bin/sh", "-c", 'read -r mapped && exec "$@"', "sh", *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    while Path(f"/proc/{process.pid}/ns/user").readlink() == Path("/proc/self/ns/user").readlink():
        time.sleep(0.01)
    for name in ("uid_map", "gid_map"):  # user_namespaces(7): once, from outside
        Path(f"/proc/{process.pid}/{name}").write_text("0 0 65536\n")
    out, _ = process.communicate("mapped\n")
    assert process.returncode == 0
    assert json.loads(out) == dict(bench.configured().result.outputs)


def test_every_packaged_file_is_as_in_the_debian_root(bench: Bench) -> None:
    with bench.roots("container-host", HOST) as (debian, ours):
        names = {package.name for package in installed_packages(ours)}
        twins = [one for one in installed_packages(debian) if one.name in names]
        assert {one.name for one in installed_packages(debian)} - names >= LEFT_OUT
        common = {path for path in owners(debian, twins) if (debian / path).is_file()}
        assert len(common) > 3000
        different = unexplained(compare_trees(debian, ours), EXPLAINED)
        assert [str(one) for one in different if one.path.lstrip("/") in common] == []


def test_scriptlets_have_done_their_work(bench: Bench) -> None:
    with bench.roots(HOST) as (root,):
        assert "Debian" in (root / "etc/motd").read_text()
        assert "messagebus:x:" in (root / "etc/passwd").read_text()
        assert (root / "var/lib/messages").stat().st_gid == _gid(root, "messagebus")
        assert len([*(root / "etc/ssl/certs").iterdir()]) > 100
        assert (root / "etc/ld.so.cache").stat().st_size > 1000
        assert (root / "etc/machine-id").read_bytes() == b""
        assert (root / "etc/systemd/system/dbus.service").is_symlink()
        dependencies = next(root.glob("usr/lib/modules/*/modules.dep")).read_text()
        assert "dm-verity.ko.xz: kernel/" in dependencies
        assert (root / "tmp").stat().st_mode & 0o7777 == 0o1777
        assert (root / "proc").stat().st_mode & 0o7777 == 0o755  # as base-files says, though rpm found it mounted over
        assert not any(
            (root / name).iterdir() for name in ("dev", "proc", "run", "sys", "tmp") if [*(root / name).iterdir()]
        )


def _gid(root: Path, name: str) -> int:
    rows = (line.split(":") for line in (root / "etc/group").read_text().splitlines())
    return next(int(row[2]) for row in rows if row[0] == name)


def test_what_the_image_provides_is_not_left_in_the_database(bench: Bench) -> None:
    with bench.roots(HOST) as (root,):
        found = list(installed_packages(root))
        assert sorted((one.name, one.version, one.architecture) for one in found) == sorted(
            (one.name, one.version, one.architecture) for one in bench.packages()
        )


def test_the_targets_own_rpm_reads_its_database_where_nothing_can_be_written(bench: Bench) -> None:
    with bench.roots(MANAGED) as (root,):
        place = root / "var/lib/rpm"
        done = Sandbox(None).run(
            ["/usr/bin/rpm", "--query", "--all", "--queryformat", "%{NAME} %{INSTALLTIME}\n"],
            root=root,
            mounts=[Mount(place, "/var/lib/rpm")],
            timeout=60,
        )
        rows = dict(line.split() for line in done.stdout.decode().splitlines())
        assert rows.keys() == {one.name for one in bench.packages(MANAGED)}
        times = {int(text) for text in rows.values()}
        assert bench.lock.epoch <= min(times)
        assert max(times) <= bench.lock.epoch + 2 * len(rows)  # rpm counts steps for seconds
        assert [path.name for path in place.iterdir()] == ["rpmdb.sqlite"]
        verified = Sandbox(None).run(
            ["/usr/bin/rpm", "--verify", "--all", "--nomtime", "--nodeps"], root=root, timeout=120, check=False
        )
        words = [line for line in verified.stdout.decode().splitlines() if " c " not in line]
        assert [line for line in words if not line.startswith(".M") and "/etc/machine-id" not in line] == []


def test_a_package_of_another_key_is_not_taken(bench: Bench, tmp_path: Path) -> None:
    other = tmp_path / "other.asc"
    other.write_bytes(keyring(signing_key()))
    with pytest.raises(IntegrityError, match="does not take 2 package") as caught:
        _root_of(bench, bench.packages()[:2], other)
    assert "other.asc" in (caught.value.resolution or "")


def test_a_package_that_was_changed_is_not_taken(bench: Bench, tmp_path: Path) -> None:
    key = signing_key()
    data = bytearray(signed(build_rpms([_HELLO], sandbox=bench.sandbox, store=bench.store)[_HELLO.key], key))
    data[-20] ^= 1
    package = _locked(bench, _HELLO, bytes(data))
    with pytest.raises(IntegrityError, match="does not take 1 package"):
        _root_of(bench, [package], _keyring(tmp_path, keyring(key)))


def test_a_scriptlet_that_fails_shows_its_words_and_how_to_run_it_again(bench: Bench, tmp_path: Path) -> None:
    key = signing_key()
    data = signed(build_rpms([_BROKEN], sandbox=bench.sandbox, store=bench.store)[_BROKEN.key], key)
    with pytest.raises(ToolError) as caught:
        _root_of(bench, [_locked(bench, _BROKEN, data)], _keyring(tmp_path, keyring(key)))
    assert caught.value.brief == "the scriptlet %post of broken-1.0-1.x86_64 failed"
    assert "the disk is a lie" in (caught.value.details or "")
    assert "bwrap" in caught.value.command


def test_what_a_package_needs_and_the_set_lacks_is_named(bench: Bench, tmp_path: Path) -> None:
    key = signing_key()
    data = signed(build_rpms([_NEEDY], sandbox=bench.sandbox, store=bench.store)[_NEEDY.key], key)
    with pytest.raises(ToolError) as caught:
        _root_of(bench, [_locked(bench, _NEEDY, data)], _keyring(tmp_path, keyring(key)))
    assert "unobtainium >= 3 is needed by needy" in (caught.value.details or "")
    root = _root_of(
        bench, [_locked(bench, _NEEDY, data)], _keyring(tmp_path, keyring(key)), provides=("unobtainium (= 3)",)
    )
    assert root.result.facts["packages"] == 1


def test_single_files_are_those_of_the_package(bench: Bench, tmp_path: Path) -> None:
    chosen = [one for one in bench.packages() if one.name == "crun"]
    files = package_files(chosen, upstream=bench.upstream, store=bench.store, sandbox=bench.sandbox, progress=SILENT)[
        "crun"
    ]
    files.take("/usr/bin/crun", tmp_path / "crun", key="extract[0].paths[0]")
    with bench.roots(HOST) as (root,):
        assert (tmp_path / "crun").read_bytes() == (root / "usr/bin/crun").read_bytes()
    assert (tmp_path / "crun").stat().st_mode & 0o777 == 0o755


def test_single_files_may_have_several_names(bench: Bench, tmp_path: Path) -> None:
    data = signed(build_rpms([_LINKED], sandbox=bench.sandbox, store=bench.store)[_LINKED.key], signing_key())
    files = package_files(
        [_locked(bench, _LINKED, data)],
        upstream=bench.upstream,
        store=bench.store,
        sandbox=bench.sandbox,
        progress=SILENT,
    )["linked"]
    for name in ("first", "second"):
        files.take(f"/usr/share/linked/{name}", tmp_path / name, key="extract[0].paths[0]")
        assert (tmp_path / name).read_text() == "both"


def test_a_folder_of_modules_is_no_option_of_depmod(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "usr/lib/modules/-n").mkdir(parents=True)
    with pytest.raises(ToolError):
        index_modules(tmp_path, sandbox=bench.sandbox)


_LINKED = Rpm(
    "linked", files={"/usr/share/linked/first": "both"}, links={"/usr/share/linked/second": "/usr/share/linked/first"}
)
_HELLO = Rpm("hello", files={"/usr/share/hello": "hello"})
_BROKEN = Rpm("broken", scriptlets='%post -p <lua>\nerror("the disk is a lie")')
_NEEDY = Rpm("needy", requires=("unobtainium >= 3",), files={"/usr/share/needy": "x"})


def _keyring(folder: Path, certificates: bytes) -> Path:
    path = folder / "keyring.asc"
    path.write_bytes(certificates)
    return path


def _locked(bench: Bench, rpm: Rpm, data: bytes) -> LockedPackage:
    return LockedPackage(
        name=rpm.name,
        version=f"{rpm.version}-{rpm.release}",
        architecture="amd64",
        sha256=bench.store.add_bytes(data),
        size=len(data),
        path=f"{rpm.name}.rpm",
        suite="repo",
        archive="test",
        source=rpm.name,
        source_version=f"{rpm.version}-{rpm.release}",
    )


def _root_of(
    bench: Bench,
    packages: list[LockedPackage] | tuple[LockedPackage, ...],
    keys: Path,
    *,
    provides: tuple[str, ...] = (),
) -> Performed:
    return configured_root(
        packages,
        upstream=bench.upstream.model_copy(update={"keyring_file": keys}),
        provides=provides,
        users=Users(),
        setuid=STRIP_ALL,
        epoch=bench.lock.epoch + 86400,  # tests sign after the lab was locked
        architecture=bench.architecture,
        store=bench.store,
        sandbox=bench.sandbox,
        progress=SILENT,
    )
