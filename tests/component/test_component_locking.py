# SPDX-License-Identifier: Apache-2.0
"""Components in `zaffre lock`: a small archive, and the host's apt and dpkg in place of the tools tree's."""

from __future__ import annotations

import os
import platform
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from pysequoia import Tsk

from support.repository import NOW, Archive, Deb, Fault, Mirror, keyring, native_source, signing_key
from support.trouble import eventually
from support.upstreams import QUICK, mirrors, said
from zaffre.component.engine import ComponentEngine
from zaffre.component.farm import Farm, build_all
from zaffre.component.graph import build_order, needs_of
from zaffre.definition import load_distribution
from zaffre.errors import DefinitionError, IntegrityError, WorldError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox, ToolsTree
from zaffre.store import Store
from zaffre.upstream import COMPONENTS, Lock, LockedComponent, LockedSet, Outcome, lock_text, parse_lock
from zaffre.upstream.locking import Locking, lock_distribution
from zaffre.upstream.requests import check_lock
from zaffre.upstream.world import World

pytestmark = [
    pytest.mark.tools,
    pytest.mark.skipif(
        "CI" not in os.environ and not all(map(shutil.which, ("apt-get", "dpkg-source", "bwrap"))),
        reason="needs apt, dpkg-dev and bubblewrap",
    ),
    pytest.mark.skipif(os.geteuid() != 0, reason="packages have owners"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the simulated tools are for amd64"),
]

FILES = {
    "zaffre.toml": '[distribution]\nid = "test"\nname = "Test Linux"\nversion = "1"\n'
    '[defaults]\nupstream = "stable"\n[tools]\npackages = ["mkfs"]\n',
    "upstreams/stable.toml": 'family = "deb"\nkeyring = "archive.asc"\narchitectures = ["amd64", "arm64"]\n'
    '[[suites]]\narchive = "debian"\nsuite = "stable"\ncomponents = ["main"]\n',
    "images/host.toml": 'kind = "host"\npackages = ["daemon"]\nprovides = ["initramfs-tool"]\n'
    '[kernel]\npackage = "kernel-{arch}"\n',
    "components/daemon/component.toml": 'description = "in halves"\n[source]\nkind = "deb-binary"\n'
    'packages = ["daemon"]\n',
    "components/daemon/overlays/0001-split.toml": """
category = "size"
reason = "the client is for people (CVE-2026-0001)"
upstream_status = "pending"
links = ["https://daemon.example/"]
since = 2026-01-01
until = 2030-01-01
[[operations]]
op = "package-split"
package = "daemon"
name = "daemon-client"
description = "client"
paths = ["usr/bin/client"]
[[operations]]
op = "depends-change"
package = "daemon"
field = "depends"
name = "runner"
relation = "other-runner"
""",
}
SOURCE = {
    "debian/control": "Source: tool\nMaintainer: X <x@y.example>\nBuild-Depends: maker (>= 1), missing [arm64]\n\n"
    "Package: tool\nArchitecture: any\nDescription: a tool\n",
    "debian/changelog": "tool (1.0) stable; urgency=low\n\n  * x\n\n"
    " -- X <x@y.example>  Thu, 02 Jan 2025 10:00:00 +0100\n",
    "debian/rules": "#!/usr/bin/make -f\n",
    "debian/source/format": "3.0 (native)\n",
}
TOOL = 'description = "rebuilt"\n[source]\nkind = "deb-source"\npackage = "tool"\n'


@dataclass
class Shop:
    root: Path
    archive: Archive
    mirror: Mirror
    key: Tsk
    store: Store
    notes: list[str] = field(default_factory=list)

    def write(self, path: str, text: str) -> None:
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)

    def publish(self) -> None:
        self.archive.publish([self.key], architectures=("amd64", "arm64"))

    @contextmanager
    def tools(self, _: LockedSet) -> Iterator[Sandbox]:
        yield Sandbox(ToolsTree(Path("/"), "host"))

    def engine(self, store: Store | None = None) -> ComponentEngine:
        return ComponentEngine(
            load_distribution(self.root), store or self.store, mirrors(self.mirror.url), SILENT, limits=QUICK
        )

    def lock(self, old: Lock | None = None, **more: object) -> Locking:
        world = World(
            mirrors=mirrors(self.mirror.url), store=self.store, tools=self.tools, engine=self.engine(), limits=QUICK
        )
        more.setdefault("now", NOW + timedelta(minutes=1))
        return lock_distribution(load_distribution(self.root), old, world, **more)  # type: ignore[arg-type]

    def stale(self, lock: Lock) -> list[str]:
        return [str(one) for one in check_lock(load_distribution(self.root), lock)]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    key, archive = signing_key(), Archive()
    archive.add(Deb("base", architecture="amd64", fields={"Essential": "yes"}))
    for name in (
        "mkfs",
        "apt",
        "kernel-amd64",
        "kernel-arm64",
        "other-runner",
        "runner",
        "maker",
        "build-essential",
        "fakeroot",
    ):
        archive.add(Deb(name))
    archive.add(
        Deb(
            "daemon",
            "1.0-1",
            "amd64",
            fields={"Depends": "runner (>= 1)"},
            files={
                "usr/bin/daemon": "d" * 5000,
                "usr/bin/client": "c" * 3000,
                "usr/share/doc/daemon/copyright": "free",
            },
        )
    )
    root = tmp_path / "distro"
    with Mirror({"debian": archive}) as mirror:
        shop = Shop(root, archive, mirror, key, Store(tmp_path / "store"))
        for path, text in FILES.items():
            shop.write(path, text)
        (root / "upstreams/archive.asc").write_bytes(keyring(key))
        shop.publish()
        yield shop


def content(lock: Lock, name: str) -> dict[str, str]:
    return {package.name: package.version for package in lock.set(name, "amd64").packages}


def component(lock: Lock, name: str) -> LockedComponent:
    found = lock.component(name, "amd64")
    assert found is not None
    return found


def test_an_image_takes_what_was_built_here(shop: Shop) -> None:
    lock = shop.lock().lock
    assert content(lock, "host") == {
        "base": "1.0",
        "daemon": "1.0-1+z1",
        "kernel-amd64": "1.0",
        "other-runner": "1.0",
    }
    daemon = next(one for one in lock.set("host", "amd64").packages if one.name == "daemon")
    assert (daemon.archive, daemon.source, daemon.source_version) == (COMPONENTS, "daemon", "1.0-1")
    assert shop.store.has(daemon.digest)
    assert component(lock, "daemon").gives == ("daemon", "daemon-client")
    assert component(lock, "daemon").outcome == Outcome.BUILT
    assert shop.stale(lock) == []
    assert parse_lock(lock_text(lock)) == lock


def test_nothing_is_asked_when_the_lock_answers(shop: Shop) -> None:
    lock = shop.lock().lock
    before = len(shop.mirror.requests)
    assert shop.lock(lock).lock is lock
    assert len(shop.mirror.requests) == before


def test_a_lock_without_components_says_nothing_of_them(shop: Shop) -> None:
    shutil.rmtree(shop.root / "components")
    lock = shop.lock().lock
    assert "component" not in lock_text(lock)
    assert content(lock, "host")["daemon"] == "1.0-1"


def test_what_is_lost_is_built_again_bit_for_bit(shop: Shop, tmp_path: Path) -> None:
    lock = shop.lock().lock
    with shop.tools(lock.set("tools", "amd64")) as sandbox:
        fresh = Store(tmp_path / "fresh")
        built = shop.engine(fresh).built(component(lock, "daemon"), None, sandbox, created=lock.created)
        assert not built.cached
        assert built.packages == component(lock, "daemon").packages
        other = component(lock, "daemon").model_copy(update={"packages": _other(component(lock, "daemon"))})
        with pytest.raises(IntegrityError) as caught:
            shop.engine(fresh).built(other, None, sandbox, created=lock.created)
    assert "did not come out as it is locked" in said(caught.value)


def test_update_by_name_locks_what_comes_out_now(shop: Shop) -> None:
    lock = shop.lock().lock
    daemon = component(lock, "daemon")
    wrong = lock.model_copy(update={"components": (daemon.model_copy(update={"packages": _other(daemon)}),)})
    assert component(shop.lock(wrong, update=[]).lock, "daemon") == component(wrong, "daemon"), "made of the same"
    assert component(shop.lock(wrong, update=["daemon"]).lock, "daemon") == daemon


def _other(locked: LockedComponent) -> tuple[object, ...]:
    first, *rest = locked.packages
    changed = first.package.model_copy(update={"sha256": "0" * 64})
    return (first.model_copy(update={"package": changed}), *rest)


def test_a_changed_overlay_makes_the_lock_stale_and_is_built(shop: Shop) -> None:
    lock = shop.lock().lock
    path = "components/daemon/overlays/0001-split.toml"
    shop.write(path, FILES[path].replace("client is for people", "client is not for hosts"))
    assert shop.stale(lock) == [
        "component daemon (amd64): its definition, an overlay or a file of it has changed since it was locked"
    ]
    done = shop.lock(lock)
    assert component(done.lock, "daemon").key != component(lock, "daemon").key
    assert shop.stale(done.lock) == []


def test_a_component_that_goes_leaves_the_upstreams_package(shop: Shop) -> None:
    lock = shop.lock().lock
    shutil.rmtree(shop.root / "components")
    assert shop.stale(lock) == ["component daemon (amd64): is in the lock, but not in the definition"]
    done = shop.lock(lock)
    assert content(done.lock, "host")["daemon"] == "1.0-1"
    assert "runner" in content(done.lock, "host")
    assert not done.lock.components


def test_a_newer_upstream_is_taken_on_update_alone(shop: Shop) -> None:
    lock = shop.lock().lock
    shop.archive.add(
        Deb(
            "daemon",
            "1.0-2",
            "amd64",
            fields={"Depends": "runner"},
            files={"usr/bin/daemon": "D", "usr/bin/client": "C"},
        )
    )
    shop.publish()
    assert shop.lock(lock).lock is lock
    done = shop.lock(lock, update=["daemon"])
    assert content(done.lock, "host")["daemon"] == "1.0-2+z1"
    assert component(done.lock, "daemon").source.version == "1.0-2"


def test_an_operation_that_matches_nothing(shop: Shop) -> None:
    path = "components/daemon/overlays/0001-split.toml"
    shop.write(path, FILES[path].replace('name = "runner"', 'name = "walker"'))
    with pytest.raises(DefinitionError) as caught:
        shop.lock()
    assert "components/daemon/overlays/0001-split.toml: operations[1]" in said(caught.value)
    assert "'daemon' has no Depends on it" in said(caught.value)


def test_a_binary_that_is_not_what_was_signed_for(shop: Shop) -> None:
    shop.mirror.fault("debian/pool/main/d/daemon/*", Fault(flip=True))
    with pytest.raises(IntegrityError) as caught:
        shop.lock()
    assert "is not the one that is signed for" in said(caught.value)
    shop.mirror.mend()
    assert shop.lock().lock


# Sources


def test_the_highest_source_is_chosen_with_what_it_is_built_with(shop: Shop) -> None:
    shop.write("components/tool/component.toml", TOOL)
    shop.archive.add(Deb("tool", architecture="amd64"))
    for version in ("1.0", "1.1", "1.0.9"):
        shop.archive.add_source(native_source("tool", version, SOURCE))
    shop.publish()
    lock = shop.lock().lock
    assert lock.component("tool", "amd64") is None, "the upstream's own sources are locked on request"
    lock = shop.lock(lock, components=["tool"]).lock
    assert component(lock, "tool").source.version == "1.1"
    assert component(lock, "tool").outcome == Outcome.LOCKED
    assert set(content(lock, "component:tool")) == {"base", "build-essential", "fakeroot", "maker"}
    assert shop.lock(lock).lock is lock, "what was asked for once stays in the lock"
    assert shop.stale(lock) == []


def test_a_source_that_no_mirror_has_is_an_outcome(shop: Shop) -> None:
    shop.write("components/tool/component.toml", TOOL)
    shop.archive.add(Deb("tool", architecture="amd64"))
    source = native_source("tool", "1.0", SOURCE)
    shop.archive.add_source(source)
    shop.publish()
    del shop.archive.files[f"{source.folder}/tool_1.0.dsc"]
    locked = component(shop.lock(components=["tool"]).lock, "tool")
    assert locked.outcome == Outcome.UPSTREAM_BINARY
    assert "the source tool 1.0 is at no mirror" in (locked.note or "")
    assert locked.packages == ()


def test_a_source_that_no_index_has(shop: Shop) -> None:
    shop.write("components/tool/component.toml", TOOL)
    with pytest.raises(DefinitionError, match="the upstream has no source package 'tool'"):
        shop.lock(components=["tool"])
    shop.archive.add(Deb("tool-bin", "1.0", "amd64", fields={"Source": "tool (0.9)"}))
    shop.publish()
    locked = component(shop.lock(components=["tool"]).lock, "tool")
    assert locked.outcome == Outcome.UPSTREAM_BINARY
    assert locked.gives == ("tool-bin",)


@pytest.mark.parametrize("which", ["tool_1.0.dsc", "tool_1.0.tar.xz"])
def test_a_source_with_other_bytes(shop: Shop, which: str) -> None:
    shop.write("components/tool/component.toml", TOOL)
    shop.archive.add_source(native_source("tool", "1.0", SOURCE))
    shop.publish()
    shop.mirror.fault(f"debian/pool/main/t/tool/{which}", Fault(flip=True))
    with pytest.raises(IntegrityError) as caught:
        shop.lock(components=["tool"])
    assert which in said(caught.value)


def test_a_source_that_is_malformed_though_it_is_signed_for(shop: Shop) -> None:
    shop.write("components/tool/component.toml", TOOL)
    source = native_source("tool", "1.0", SOURCE)
    source.files["tool_1.0.dsc"] = source.files["tool_1.0.dsc"].replace(b"Format: 3.0", b"Format: 9.9")  # type: ignore[index]
    shop.archive.add_source(source)
    shop.publish()
    with pytest.raises(WorldError) as caught:
        shop.lock(components=["tool"])
    assert "the source 'tool' cannot be unpacked" in said(caught.value)
    assert "9.9" in said(caught.value)


def test_build_dependencies_that_cannot_be_met(shop: Shop) -> None:
    shop.write("components/tool/component.toml", TOOL)
    files = {**SOURCE, "debian/control": SOURCE["debian/control"].replace("maker (>= 1)", "maker (>= 2)")}
    shop.archive.add_source(native_source("tool", "1.0", files))
    shop.publish()
    with pytest.raises(DefinitionError) as caught:
        shop.lock(components=["tool"])
    assert "component:tool" in said(caught.value)
    assert "maker (>= 2)" in said(caught.value)


# Components that need one another


def split_of(name: str) -> dict[str, str]:
    """A component that takes a package of the upstream apart, as the files of its folder."""
    overlay = FILES["components/daemon/overlays/0001-split.toml"].partition("[[operations]]")[0]
    source = f'[source]\nkind = "deb-binary"\npackages = ["{name}"]\n'
    return {
        f"components/{name}/component.toml": f'description = "x"\n{source}',
        f"components/{name}/overlays/0001-x.toml": f'{overlay}[[operations]]\nop = "depends-add"\npackage = "{name}"\n'
        'field = "recommends"\nrelation = "runner"\n',
    }


def test_a_component_is_built_with_what_another_gives(shop: Shop) -> None:
    shop.write("components/tool/component.toml", TOOL)
    for path, text in split_of("maker").items():
        shop.write(path, text)
    shop.archive.add_source(native_source("tool", "1.0", SOURCE))
    shop.publish()
    lock = shop.lock(components=["tool"]).lock
    assert content(lock, "component:tool")["maker"] == "1.0+z1"
    assert component(lock, "maker").outcome == Outcome.BUILT
    assert needs_of(lock, component(lock, "tool")) == (("maker", "amd64"),)
    order = [name for name, _ in build_order(lock, [component(lock, "tool")])]
    assert order == ["maker", "tool"]


def test_components_that_need_each_other_are_named(shop: Shop) -> None:
    for name, needs in (("chicken", "egg"), ("egg", "chicken")):
        shop.write(f"components/{name}/component.toml", TOOL.replace('"tool"', f'"{name}"'))
        control = f"Source: {name}\nMaintainer: X <x@y.example>\nBuild-Depends: {needs}\n\nPackage: {name}\n"
        files = {**SOURCE, "debian/control": f"{control}Architecture: any\nDescription: x\n"}
        shop.archive.add_source(native_source(name, "1.0", files))
        shop.archive.add(Deb(name, architecture="amd64"))
    shop.publish()
    with pytest.raises(DefinitionError) as caught:
        shop.lock(components=["chicken", "egg"])
    text = said(caught.value)
    assert "the components chicken and egg need each other to be built" in text
    assert "chicken is built with egg is built with chicken" in text


def test_a_component_is_built_with_the_upstreams_own_package_of_its_name(shop: Shop) -> None:
    shop.write("components/tool/component.toml", TOOL)
    files = {**SOURCE, "debian/control": SOURCE["debian/control"].replace("maker (>= 1)", "tool")}
    shop.archive.add_source(native_source("tool", "1.0", files))
    shop.archive.add(Deb("tool", "0.9", "amd64"))
    shop.publish()
    assert content(shop.lock(components=["tool"]).lock, "component:tool")["tool"] == "0.9"


def test_other_images_and_their_components_stay(shop: Shop) -> None:
    shop.write("images/other.toml", FILES["images/host.toml"].replace("daemon", "maker"))
    for path, text in split_of("maker").items():
        shop.write(path, text)
    lock = shop.lock().lock
    assert content(lock, "other")["maker"] == "1.0+z1"
    shop.archive.add(Deb("maker", "1.1"))
    shop.archive.add(Deb("other-runner", "1.1"))
    shop.publish()
    done = shop.lock(lock, images=["host"], update=[]).lock
    assert content(done, "host")["other-runner"] == "1.1"
    assert done.set("other", "amd64") == lock.set("other", "amd64")
    assert component(done, "maker") == component(lock, "maker")
    assert shop.stale(done) == []


# Many at once


def test_many_are_built_at_once_and_what_is_finished_stays(shop: Shop) -> None:
    for name in ("one", "two"):
        folder = f"components/{name}"
        shop.write(f"{folder}/tree/etc/{name}.conf", f"{name}\n")
        shop.write(
            f"{folder}/component.toml",
            f'description = "x"\n[source]\nkind = "files"\ntree = "tree"\nversion = "1.0"\n'
            f'[[packages]]\nname = "{name}-conf"\ndescription = "x"\narchitecture = "all"\n'
            f'install = {{ "etc/{name}.conf" = "/etc/{name}.conf" }}\nconffiles = ["/etc/{name}.conf"]\n',
        )
    lock = shop.lock().lock
    wanted = [component(lock, "one"), component(lock, "two")]
    assert {one.outcome for one in wanted} == {Outcome.LOCKED}
    tools = ToolsTree(Path("/"), "host")
    farm = Farm(shop.root, shop.store.root, tools, mirrors(shop.mirror.url), lock.created)
    # The second gives what it is not locked to give.
    bad = wanted[1].model_copy(update={"gives": ("other",)})
    others = tuple(one for one in lock.components if one.name != "two")
    with pytest.raises(DefinitionError, match="the build of 'two' gave two-conf"):
        build_all(
            farm,
            lock.model_copy(update={"components": (*others, bad)}),
            [wanted[0], bad],
            scheduler=None,
            progress=SILENT,
        )
    built = build_all(farm, lock, wanted, scheduler=None, progress=SILENT)
    assert {key: one.cached for key, one in built.items()} == {("one", "amd64"): True, ("two", "amd64"): False}
    assert all(shop.store.has(each.package.digest) for one in built.values() for each in one.packages)


def test_a_worker_that_dies_loses_nothing_that_was_finished(shop: Shop) -> None:
    """The worker is killed in the midst of its build; the same scheduler's next worker does it from the start."""
    from distributed import LocalCluster  # noqa: PLC0415 - slow to load

    lock = shop.lock().lock
    locked = component(lock, "daemon").model_copy(update={"outcome": Outcome.LOCKED, "packages": ()})
    lock = lock.model_copy(update={"components": (locked,)})
    tools = ToolsTree(Path("/"), "host")
    farm = Farm(shop.root, shop.store.root, tools, mirrors(shop.mirror.url), lock.created, use_cache=False)
    # The first build that asks for what it is made of gets one byte, and then waits.
    (file,) = locked.source.files
    path = f"{file.archive}/{file.path}"
    shop.store.path(file.digest).unlink()
    shop.mirror.fault(path, Fault(hang=1, times=1))
    before = len(shop.mirror.served(path))

    def kill(worker: int) -> None:
        eventually(lambda: len(shop.mirror.served(path)) > before, seconds=60)
        os.kill(worker, signal.SIGKILL)

    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster:
        (first,) = cluster.workers.values()
        killer = threading.Thread(target=kill, args=(first.pid,))
        killer.start()
        built = build_all(farm, lock, [locked], scheduler=cluster.scheduler_address, progress=SILENT)
        killer.join()
    assert len(shop.mirror.served(path)) == before + 2
    assert [one.package.name for one in built["daemon", "amd64"].packages] == ["daemon", "daemon-client"]


def test_a_scheduler_that_does_not_answer(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zaffre.component.farm._CONNECT", 1)
    lock = shop.lock().lock
    farm = Farm(shop.root, shop.store.root, ToolsTree(Path("/"), "host"), mirrors(shop.mirror.url), lock.created)
    with pytest.raises(WorldError, match="no scheduler answers at tcp://127"):
        build_all(farm, lock, [component(lock, "daemon")], scheduler="tcp://127.0.0.1:9", progress=SILENT)
