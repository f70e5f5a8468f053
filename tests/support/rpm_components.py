# SPDX-License-Identifier: Apache-2.0
"""A distribution of RPM packages with components, the mirror of its upstreams, and what it takes to build them.

The fixtures `rpm_shared` and `shop` make it (tests/component/conftest.py).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.lab import Lab
from support.repository import Archive, Deb, Mirror, keyring, signing_key
from support.rpm_lab import UPSTREAM, folder_as_archive, rpm_distribution
from support.rpm_repository import CERTIFICATE, REPOSITORY
from support.rpm_sources import GREETER, GREETER_FILES, SourceRpm, build_source
from support.rpms import Rpm, RpmRepository, build_rpms, signed
from support.upstreams import QUICK, said
from zaffre.cli.making import Making
from zaffre.component.buildroot import BuildRoot, build_root, log_label
from zaffre.component.engine import Built, ComponentEngine
from zaffre.component.rpmfile import unpack_rpm
from zaffre.definition import Distribution, load_distribution
from zaffre.digest import Sha256
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream import COMPONENTS, Lock, LockedComponent, LockedSet
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.family import Repositories, family_of
from zaffre.upstream.fetch import fetch
from zaffre.upstream.locking import Locking, lock_distribution
from zaffre.upstream.mirrors import Mirrors, find_mirrors
from zaffre.upstream.world import World

NEEDS = [
    pytest.mark.tools,
    pytest.mark.xdist_group("rpm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a build root has many owners"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the tests' packages are for amd64"),
]
"""Marks of a module that uses it."""

FILES = {
    "zaffre.toml": '[distribution]\nid = "test"\nname = "Test Linux"\nversion = "1"\n'
    '[defaults]\nupstream = "rpmtest"\n[tools]\nupstream = "stable"\npackages = ["mkfs"]\n',
    "upstreams/stable.toml": 'family = "deb"\nkeyring = "archive.asc"\narchitectures = ["amd64"]\n'
    '[[suites]]\narchive = "debian"\nsuite = "stable"\ncomponents = ["main"]\n',
    f"upstreams/{UPSTREAM}.toml": f"""\
family = "rpm"
keyring = "rpms.asc"
architectures = ["amd64", "arm64"]
build_packages = ["base-files", "patch", "rpm"]
[[repositories]]
archive = "{UPSTREAM}"
path = "{REPOSITORY}"
verify = "signature"
max_age_days = 3650
[[repositories]]
archive = "extras"
path = "main"
verify = "signature"
max_age_days = 30
[[source_repositories]]
archive = "extras"
path = "source"
verify = "signature"
max_age_days = 30
""",
    "images/host.toml": 'kind = "host"\npackages = ["greeter"]\n[kernel]\npackage = "kernel"\n',
    "components/greeter/component.toml": 'description = "x"\n[source]\nkind = "rpm"\npackage = "greeter"\n',
}
HEAD = """\
category = "bug-fix"
reason = "it must say more (CVE-2026-1234)"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = 2030-01-01
"""
PATCH = """\
--- a/greet.in
+++ b/greet.in
@@ -1,3 +1,4 @@
 #!/bin/sh
 echo @WORD@
 echo again
+echo and again
"""
MORE = '[[operations]]\nop = "patch-add"\nfile = "more.patch"\n'
CATALOGUE = (
    Rpm("kernel"),
    Rpm("greeter", "1.0", "3", files={"/usr/bin/greet": "#!/bin/sh"}),
    Rpm("greeter-words", "1.0", "3", source="greeter", noarch=True),
    Rpm("greeter", "1.1", "1", files={"/usr/bin/greet": "#!/bin/sh"}),
    Rpm("lost", source="forgotten"),
    Rpm("strict", requires=("greeter = 1.1",)),
    Rpm("helper", "2.0", epoch=1, provides=("help(me)",)),
)
OURS = """\
Name: ours
Version: 3
Release: 1
Summary: of our own
License: CC0-1.0
Source0: data.txt
BuildArch: noarch
{head}

%description
Of our own.

%install
install -D -p -m 0644 %{{SOURCE0}} %{{buildroot}}/usr/share/ours/data.txt
{step}

%files
/usr/share/ours
"""


def soon() -> datetime:
    """A time at which all that was signed until now is good."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=1)


@dataclass(frozen=True)
class Shared:
    """What is made once: the folder of the RPM distribution, and what the tests' own repositories have."""

    folder: Path
    store: Store
    sandbox: Sandbox
    key: Tsk
    packages: Mapping[str, bytes]
    greeter: bytes


@dataclass
class Shop:
    """A distribution of one test, and the mirror of its upstreams."""

    root: Path
    shared: Shared
    packages: RpmRepository
    sources: RpmRepository
    mirror: Mirror

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def overlay(self, operations: str, *, name: str = "greeter", number: int = 1) -> None:
        self.write(f"components/{name}/overlays/{number:04}-x.toml", HEAD + operations)

    def ours(self, *, head: str = "", step: str = "", name: str = "ours", files: bool = True) -> None:
        """A component of a spec of our own."""
        folder = f"components/{name}"
        self.write(f"{folder}/component.toml", f'description = "x"\n[source]\nkind = "rpm"\nspec = "{name}.spec"\n')
        self.write(f"{folder}/{name}.spec", OURS.format(head=head, step=step).replace("ours", name))
        if files:
            self.write(f"{folder}/data.txt", "data\n")

    def publish(self) -> None:
        for repository in (self.packages, self.sources):
            repository.publish([self.shared.key])

    def source(self, spec: str, files: Mapping[str, bytes] = GREETER_FILES) -> bytes:
        return build_source(SourceRpm(spec, files), sandbox=self.shared.sandbox, store=self.shared.store)

    @property
    def distribution(self) -> Distribution:
        return load_distribution(self.root)

    @property
    def mirrors(self) -> Mirrors:
        names = ("debian", "extras", UPSTREAM)
        urls = [f"{name}={self.mirror.url}/{name}" for name in names]
        none = Path("/nonexistent")
        return find_mirrors({name: name for name in names}, explicit=urls, environ={}, config_home=none, apt=none)

    def engine(self) -> ComponentEngine:
        return ComponentEngine(self.distribution, self.shared.store, self.mirrors, SILENT, limits=QUICK)

    @contextmanager
    def tools(self, _: LockedSet) -> Iterator[Sandbox]:
        yield self.shared.sandbox

    def lock(self, old: Lock | None = None, **more: object) -> Locking:
        store, engine = self.shared.store, self.engine()
        world = World(mirrors=self.mirrors, store=store, tools=self.tools, engine=engine, limits=QUICK)
        more.setdefault("now", soon())
        return lock_distribution(self.distribution, old, world, **more)  # type: ignore[arg-type]

    def refused(self, kind: type[Exception], **more: object) -> str:
        with pytest.raises(kind) as caught:
            self.lock(**more)
        return said(caught.value)  # type: ignore[arg-type]

    def provide(self, lock: Lock, name: str) -> None:
        """Fetch what a component is built with."""
        theirs = [one for one in lock.set(f"component:{name}", "amd64").packages if one.archive != COMPONENTS]
        acceptance = Acceptance(self.distribution.upstreams.values(), self.shared.store, now=lock.created)
        fetch(theirs, self.mirrors, self.shared.store, acceptance=acceptance, limits=QUICK)

    def build(self, lock: Lock, name: str, *, engine: ComponentEngine | None = None) -> Built:
        self.provide(lock, name)
        installed = lock.set(f"component:{name}", "amd64")
        return (engine or self.engine()).built(
            component(lock, name), installed, self.shared.sandbox, created=lock.created, use_cache=False
        )

    def log(self, name: str) -> str:
        kept = self.shared.store.recall(log_label(self.distribution, name, "amd64"))
        assert kept is not None
        return self.shared.store.path(Sha256(str(kept["log"]))).read_text()

    def refresh(self) -> Repositories:
        return family_of(self.distribution.upstreams[UPSTREAM]).refresh(
            self.mirrors,
            self.shared.store,
            architectures=["amd64"],
            now=soon(),
            not_before={},
            progress=SILENT,
            limits=QUICK,
        )

    @contextmanager
    def built_root(self, lock: Lock, name: str) -> Iterator[BuildRoot]:
        """The root that a component is built in."""
        bench = self.engine().bench(component(lock, name), self.shared.sandbox, created=lock.created)
        with build_root(bench, lock.set(f"component:{name}", "amd64"), "here") as root:
            yield root

    def unpacked(self, lock: Lock, name: str, package: str, folder: Path) -> Path:
        (found,) = (one.package for one in component(lock, name).packages if one.package.name == package)
        unpack_rpm(self.shared.store.path(found.digest), folder, sandbox=self.shared.sandbox)
        return folder


@contextmanager
def make_shared(rpm_lab: Lab) -> Iterator[Shared]:
    """Made once for all tests."""
    with rpm_lab.workspace() as work, rpm_distribution(rpm_lab) as folder:
        sandbox, store, key = Making(work).sandbox, work.store, signing_key()
        packages = {
            name: signed(data, key) for name, data in build_rpms(CATALOGUE, sandbox=sandbox, store=store).items()
        }
        greeter = build_source(SourceRpm(GREETER, GREETER_FILES), sandbox=sandbox, store=store)
        yield Shared(folder, store, sandbox, key, packages, greeter)


@contextmanager
def make_shop(folder: Path, shared: Shared) -> Iterator[Shop]:
    debian, extras = Archive(), Archive()
    debian.add(Deb("base", architecture="amd64", fields={"Essential": "yes"}))
    for name in ("mkfs", "apt"):
        debian.add(Deb(name))
    debian.publish([shared.key])
    packages, sources = RpmRepository("main", extras), RpmRepository("source", extras)
    for data in shared.packages.values():
        packages.add(data)
    sources.add(signed(shared.greeter, shared.key))
    archives = {"debian": debian, "extras": extras, UPSTREAM: folder_as_archive(shared.folder)}
    with Mirror(archives) as mirror:
        shop = Shop(folder / "distro", shared, packages, sources, mirror)
        for path, text in FILES.items():
            shop.write(path, text)
        (shop.root / "upstreams/archive.asc").write_bytes(keyring(shared.key))
        theirs = (shared.folder / CERTIFICATE).read_bytes()
        (shop.root / "upstreams/rpms.asc").write_bytes(theirs + b"\n" + keyring(shared.key))
        shop.publish()
        yield shop


def component(lock: Lock, name: str) -> LockedComponent:
    found = lock.component(name, "amd64")
    assert found is not None
    return found


def content(lock: Lock, name: str) -> dict[str, str]:
    return {package.name: package.version for package in lock.set(name, "amd64").packages}
