# SPDX-License-Identifier: Apache-2.0
"""RPM components from source to image: locked, built by the rpm of the distribution in a clean root of it, taken."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NoReturn

import pytest
from pysequoia import Tsk

from support.lab import Lab
from support.repository import NOW, Archive, Deb, Fault, Mirror, keyring, signing_key
from support.rpm_lab import UPSTREAM, folder_as_archive, rpm_distribution
from support.rpm_repository import CERTIFICATE, REPOSITORY
from support.rpm_sources import GREETER, GREETER_FILES, SourceRpm, build_source
from support.rpms import Rpm, RpmRepository, build_rpms, signed
from support.upstreams import QUICK, said
from zaffre.cli.making import Making
from zaffre.component.buildroot import PLACE, BuildRoot, build_root, log_label
from zaffre.component.engine import Built, ComponentEngine, maker_of
from zaffre.component.examine import examine
from zaffre.component.newest import newest_source
from zaffre.component.outcome import Fit
from zaffre.component.pristine import pristine
from zaffre.component.rpmfile import unpack_rpm
from zaffre.component.twice import Recipe, build_twice
from zaffre.component.update import plan_update
from zaffre.definition import Distribution, load_distribution
from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, DiskFullError, IntegrityError, ToolError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.tree.rpm.database import rpm_packages
from zaffre.upstream import COMPONENTS, Lock, LockedComponent, LockedSet, Outcome, lock_text, parse_lock
from zaffre.upstream.acceptance import Acceptance
from zaffre.upstream.family import Repositories, family_of
from zaffre.upstream.fetch import fetch
from zaffre.upstream.locking import Locking, lock_distribution
from zaffre.upstream.mirrors import Mirrors, find_mirrors
from zaffre.upstream.requests import check_lock
from zaffre.upstream.world import World

pytestmark = [
    pytest.mark.tools,
    pytest.mark.xdist_group("rpm"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a build root has many owners"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the tests' packages are for amd64"),
]

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


@pytest.fixture(scope="module")
def shared(rpm_lab: Lab) -> Iterator[Shared]:
    with rpm_lab.workspace() as work, rpm_distribution(rpm_lab) as folder:
        sandbox, store, key = Making(work).sandbox, work.store, signing_key()
        packages = {
            name: signed(data, key) for name, data in build_rpms(CATALOGUE, sandbox=sandbox, store=store).items()
        }
        greeter = build_source(SourceRpm(GREETER, GREETER_FILES), sandbox=sandbox, store=store)
        yield Shared(folder, store, sandbox, key, packages, greeter)


@pytest.fixture
def shop(tmp_path: Path, shared: Shared) -> Iterator[Shop]:
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
        shop = Shop(tmp_path / "distro", shared, packages, sources, mirror)
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


def test_a_source_of_the_upstream_is_changed_built_and_taken(shop: Shop, tmp_path: Path) -> None:
    split = '[[operations]]\nop = "package-split"\npackage = "greeter"\nname = "greeter-extra"\ndescription = "x"\n'
    shop.overlay(MORE + split + 'paths = ["usr/bin/greet"]\ndepends = ["coreutils"]\n')
    shop.write("components/greeter/more.patch", PATCH)
    shop.packages.add(
        signed(
            build_rpms([Rpm("greeter", "1.1", "1")], sandbox=shop.shared.sandbox, store=shop.shared.store)[
                "greeter-1.1-1"
            ],
            shop.shared.key,
        )
    )
    shop.publish()
    lock = shop.lock().lock
    locked = component(lock, "greeter")
    assert locked.outcome == Outcome.BUILT
    assert locked.source.version == "1.0-3"
    assert locked.gives == ("greeter", "greeter-extra", "greeter-words")
    assert {one.package.name: one.package.version for one in locked.packages} == dict.fromkeys(locked.gives, "1.0-3.z1")
    assert {one.package.name: one.package.architecture for one in locked.packages}["greeter-words"] == "all"
    ours = next(one for one in lock.set("host", "amd64").packages if one.name == "greeter")
    assert (ours.version, ours.archive, ours.source) == ("1.0-3.z1", COMPONENTS, "greeter")
    assert parse_lock(lock_text(lock)) == lock
    assert [str(one) for one in check_lock(shop.distribution, lock)] == []
    assert {one.suite for one in lock.suites if one.archive == "extras"} == {"main", "source"}
    assert "sed" in content(lock, "component:greeter")
    assert f"tests run by 1000 in {PLACE}/BUILD" in shop.log("greeter")
    extra = shop.unpacked(lock, "greeter", "greeter-extra", tmp_path / "extra")
    assert (extra / "usr/bin/greet").read_text().splitlines()[1:] == ["echo hello", "echo again", "echo and again"]
    assert shop.lock(lock).lock is lock


def test_an_image_that_cannot_take_what_is_built_here(shop: Shop) -> None:
    shop.overlay('[[operations]]\nop = "tests-skip"\nreason = "no time"\n')
    image = FILES["images/host.toml"]
    shop.write("images/host.toml", image.replace('"greeter"', '"greeter", "strict"'))
    words = shop.refused(DefinitionError)
    assert "'host' takes 'greeter' 1.1-1 of the upstream's, and the component 'greeter' gives it" in words
    assert "built here: 1.0-3.z1" in words


def test_a_link_that_a_spec_puts_beside_its_source_package_is_not_followed(shop: Shop) -> None:
    """A spec can run programs while it is read."""
    links = "mkdir -p %{_topdir}/SRPMS; ln -sfn /etc/passwd %{_topdir}/SRPMS/x.src.rpm; echo 1"
    shop.ours(head=f"%global hostile %({links})\nProvides: x = %{{hostile}}")
    lock = shop.lock(components=["ours"]).lock
    assert component(lock, "ours").gives == ("ours",)


def test_two_builds_elsewhere_are_the_same_and_a_clock_is_found_out(shop: Shop) -> None:
    """Of two packages, one has the time of the build in it."""
    package = "%package clock\nSummary: x\n%description clock\nx\n%files clock\n/usr/share/clock\n"
    shop.ours(head=package, step="date +%%s >%{buildroot}/usr/share/clock")
    lock = shop.lock(components=["ours"]).lock
    locked, installed = component(lock, "ours"), lock.set("component:ours", "amd64")
    shop.provide(lock, "ours")
    tools, store = shop.shared.sandbox.tools, shop.shared.store
    recipe = Recipe(shop.root, locked, installed, tools, store.root, lock.created)
    bench = shop.engine().bench(locked, shop.shared.sandbox, created=lock.created)
    twice = build_twice(bench, recipe, progress=SILENT)
    assert [*twice.packages] == ["ours-3-1.noarch.rpm", "ours-clock-3-1.noarch.rpm"]
    assert [*twice.differences] == ["ours-clock-3-1.noarch.rpm"]
    assert any("/usr/share/clock" in cause for cause in twice.differences["ours-clock-3-1.noarch.rpm"])


def test_a_spec_of_our_own_is_built_with_what_another_component_gives(shop: Shop, tmp_path: Path) -> None:
    shop.overlay('[[operations]]\nop = "tests-skip"\nreason = "no time"\n')
    needs = "BuildRequires: greeter >= 1.0, /usr/bin/greet, (helper or nobody), help(me)\nBuildConflicts: kernel"
    shop.ours(head=needs, step="greet >%{buildroot}/usr/share/ours/said")
    lock = shop.lock(components=["ours"]).lock
    locked = component(lock, "ours")
    assert (locked.source.name, locked.source.version, locked.gives) == ("ours", "3-1", ("ours",))
    assert locked.source.epoch == int(lock.created.timestamp()) // 86400 * 86400
    assert content(lock, "component:ours").items() >= {"greeter": "1.0-3.z1", "helper": "1:2.0-1"}.items()
    assert "tests run by" not in shop.log("greeter")
    built = shop.build(lock, "ours")
    with shop.built_root(lock, "ours") as root:
        there = {one.name: one.version for one in rpm_packages(root.root)}
    assert there["greeter"] == "1.0-3.z1"
    folder = tmp_path / "ours"
    unpack_rpm(shop.shared.store.path(built.packages[0].package.digest), folder, sandbox=shop.shared.sandbox)
    assert (folder / "usr/share/ours/said").read_text() == "hello\nagain\n"


def test_what_it_is_built_with_may_come_of_components_alone(shop: Shop) -> None:
    shop.ours(name="first")
    shop.ours(name="second", head="BuildRequires: first = 3")
    lock = shop.lock(components=["first", "second"]).lock
    assert content(lock, "component:second")["first"] == "3-1"
    assert component(lock, "first").outcome == Outcome.BUILT
    assert component(lock, "second").outcome == Outcome.LOCKED


def test_components_that_need_one_another_are_named(shop: Shop) -> None:
    shop.ours(name="first", head="BuildRequires: second")
    shop.ours(name="second", head="BuildRequires: first")
    words = shop.refused(DefinitionError, components=["first", "second"])
    assert "the components first and second need each other to be built" in words


def test_a_source_finds_out_itself_what_it_is_built_with(shop: Shop) -> None:
    shop.write("components/greeter/component.toml", FILES["components/greeter/component.toml"])
    # The second name is asked for when the first is there.
    script = "echo 'helper >= 2'\nif rpm -q helper >/dev/null; then echo kernel; fi\n"
    spec = GREETER.replace("%build\n", f"%generate_buildrequires\n{script}\n%build\n", 1).replace("1.0-3", "1.0-4")
    shop.sources.add(signed(shop.source(spec.replace("Release: 3", "Release: 4")), shop.shared.key))
    shop.publish()
    lock = shop.lock(components=["greeter"]).lock
    assert component(lock, "greeter").source.version == "1.0-4"
    assert {"helper", "kernel", "sed"} <= content(lock, "component:greeter").keys()
    assert component(lock, "greeter").outcome == Outcome.BUILT


# Sources that cannot be had, or are not what they should be


def test_a_source_that_no_mirror_has_is_an_outcome(shop: Shop) -> None:
    shop.overlay('[[operations]]\nop = "tests-skip"\nreason = "no time"\n')
    (name,) = [name for name in shop.sources.archive.files if name.endswith(".src.rpm")]
    del shop.sources.archive.files[name]
    lock = shop.lock().lock
    locked = component(lock, "greeter")
    assert locked.outcome == Outcome.UPSTREAM_BINARY
    assert locked.gives == ("greeter", "greeter-words")
    assert "the source greeter 1.0-3 is at no mirror" in (locked.note or "")
    assert content(lock, "host")["greeter"] == "1.1-1"


def test_a_source_that_no_repository_has(shop: Shop) -> None:
    for package in ("forgotten", "nowhere"):
        text = f'description = "x"\n[source]\nkind = "rpm"\npackage = "{package}"\n'
        shop.write(f"components/{package}/component.toml", text)
    locked = component(shop.lock(components=["forgotten"]).lock, "forgotten")
    assert (locked.outcome, locked.gives) == (Outcome.UPSTREAM_BINARY, ("lost",))
    assert "no repository of the upstream has the source 'forgotten'" in (locked.note or "")
    assert "the upstream has no source package 'nowhere'" in shop.refused(DefinitionError, components=["nowhere"])


def test_a_source_with_other_bytes(shop: Shop) -> None:
    key, spec = shop.shared.key, GREETER.replace("first", "another time")
    shop.sources.remove("greeter")
    shop.sources.add(signed(shop.source(spec), key))
    shop.publish()
    shop.mirror.fault("extras/source/*.src.rpm", Fault(flip=True))
    assert "is not the one that is signed for" in shop.refused(IntegrityError, components=["greeter"])


@pytest.mark.parametrize(
    ("other", "words"),
    [(False, "the package is not signed"), (True, "the package's signature does not count")],
)
def test_a_source_that_nobody_signed(shop: Shop, *, other: bool, words: str) -> None:
    data = shop.source(GREETER)
    shop.sources.remove("greeter")
    shop.sources.add(signed(data, signing_key()) if other else data)
    shop.publish()
    assert words in shop.refused(IntegrityError, components=["greeter"])


def test_a_repository_of_sources_that_is_older_than_the_locked_one(shop: Shop) -> None:
    lock = shop.lock(components=["greeter"]).lock
    shop.sources.publish([shop.shared.key], date=NOW - timedelta(days=2))
    words = shop.refused(IntegrityError, old=lock, components=["greeter"], update=["greeter"])
    assert "older" in words
    assert "source" in words


# Specs that cannot be built


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


# Staying close


def test_overlays_are_tried_on_the_locked_source_and_moved_to_a_newer_one(shop: Shop, tmp_path: Path) -> None:
    define = '[[operations]]\nop = "build-option"\noption = "tests"\nenabled = false\n'
    words = '[[operations]]\nop = "search-replace"\npath = "words.txt"\nsearch = "hello"\nreplace = "good day"\n'
    shop.overlay(words)
    shop.overlay(define, number=2)
    store, sandbox = shop.shared.store, shop.shared.sandbox
    lock = shop.lock(components=["greeter"]).lock
    one, old = shop.distribution.component("greeter"), component(lock, "greeter").source
    folder = shop.root / "components/greeter"
    with pristine(one, old, store, sandbox) as before:
        assert {path.name for path in before.iterdir()} == {"greeter.spec", *GREETER_FILES}
        outcomes = examine(one, folder=folder, source=before, scratch=tmp_path)
        assert [outcome.fit for outcome in outcomes] == [Fit.CLEAN, Fit.CLEAN]
        newer = GREETER.replace("Release: 3", "Release: 5").replace("%bcond_without", "%bcond_with")
        files = {**GREETER_FILES, "words.txt": b"good morning\n"}
        shop.sources.add(signed(shop.source(newer, files), shop.shared.key))
        shop.publish()
        repositories = shop.refresh()
        found = newest_source(one, repositories, "amd64")
        assert found.version == "1.0-5"
        bench = shop.engine().bench(component(lock, "greeter"), sandbox, created=soon())
        maker_of(one).fetch(bench, found)
        with pristine(one, found, store, sandbox) as after:
            verdicts = plan_update(one, folder=folder, old=before, new=after, scratch=tmp_path)
    assert [verdict.fit for verdict in verdicts] == [Fit.CONFLICT, Fit.OBSOLETE]
    assert "good morning" in "".join(verdicts[0].conflicts["words.txt"])
