# SPDX-License-Identifier: Apache-2.0
"""Small sources built in a real clean root, which holds just what lz4 is built with; and builds that must fail."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from support.lab import Lab
from support.repository import DebSource, native_source
from support.upstreams import said
from zaffre.cli.making import Making
from zaffre.component.buildroot import PLACE, log_label
from zaffre.component.debfile import unpack_deb
from zaffre.component.engine import Built, ComponentEngine
from zaffre.component.twice import Recipe, build_twice
from zaffre.definition import Distribution, load_distribution
from zaffre.digest import Sha256
from zaffre.errors import DefinitionError, ToolError
from zaffre.progress import SILENT
from zaffre.sandbox import Sandbox
from zaffre.store import Store
from zaffre.upstream import LockedComponent, LockedFile, LockedSet, LockedSource, Outcome
from zaffre.upstream.mirrors import Mirrors

pytestmark = [
    pytest.mark.tools,
    pytest.mark.xdist_group("component-building"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a build root has many owners"),
]

CREATED = datetime(2026, 1, 1, tzinfo=UTC)
CONTROL = """\
Source: probe
Section: misc
Priority: optional
Maintainer: Somebody <somebody@debian.example>
Standards-Version: 4.7.0
Rules-Requires-Root: no

Package: probe
Architecture: any
Description: a probe
 Made for a test.
"""
CHANGELOG = """\
probe (1.0) unstable; urgency=medium

  * First.

 -- Somebody <somebody@debian.example>  Thu, 02 Jan 2025 10:00:00 +0000
"""
RULES = """\
#!/usr/bin/make -f
build build-arch build-indep:
	cc -O2 -o probe probe.c
	{step}
binary-indep:
binary binary-arch: build
	mkdir -p debian/probe/DEBIAN debian/probe/usr/bin
	cp probe debian/probe/usr/bin/
	touch -d @$(SOURCE_DATE_EPOCH) debian/probe/usr/bin/probe
	dpkg-gencontrol -pprobe -Pdebian/probe
	dpkg-deb --root-owner-group --build debian/probe ..
clean:
	rm -rf probe debian/probe debian/files
"""
PROGRAM = '#include <stdio.h>\nint main(void) { puts("probe " __FILE__); return 0; }\n'
OVERLAY = """\
category = "bug-fix"
reason = "it must say more (CVE-2026-1234)"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = "1.1"
"""


@dataclass(frozen=True)
class Bench:
    """A copy of the lab's distribution with a component `probe`, and a store that has what lz4 is built with."""

    root: Path
    store: Store
    sandbox: Sandbox
    installed: LockedSet

    @property
    def distribution(self) -> Distribution:
        return load_distribution(self.root)

    def component(
        self, source: str, *, overlays: dict[str, str] | None = None, files: dict[str, str] | None = None
    ) -> None:
        texts = {"component.toml": f'description = "a probe"\n{source}', **(files or {})}
        texts |= {f"overlays/{name}": text for name, text in (overlays or {}).items()}
        for name, text in texts.items():
            path = self.root / "components/probe" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def locked(self, source: LockedSource, **more: object) -> LockedComponent:
        values = {
            "name": "probe",
            "architecture": "amd64",
            "upstream": "debian",
            "key": "0" * 64,
            "outcome": Outcome.LOCKED,
            "gives": ("probe", "probe-extra"),
            "source": source,
            **more,
        }
        return LockedComponent.model_validate(values)

    def engine(self) -> ComponentEngine:
        return ComponentEngine(self.distribution, self.store, Mirrors(()), SILENT)

    def build(self, locked: LockedComponent) -> Built:
        return self.engine().built(locked, self.installed, self.sandbox, created=CREATED, use_cache=False)

    def log(self) -> str:
        kept = self.store.recall(log_label(self.distribution, "probe", "amd64"))
        assert kept is not None
        return self.store.path(Sha256(str(kept["log"]))).read_text()

    def unpacked(self, built: Built, name: str, folder: Path) -> Path:
        (package,) = (one.package for one in built.packages if one.package.name == name)
        unpack_deb(self.store.path(package.digest), folder, sandbox=self.sandbox)
        return folder


@pytest.fixture(scope="module")
def shared(lab: Lab) -> Iterator[tuple[Store, Sandbox, LockedSet]]:
    with lab.workspace() as work:
        making = Making(work)
        installed = making.lock.set("component:lz4", "amd64")
        making.fetch(installed.packages)
        yield work.store, making.sandbox, installed


@pytest.fixture
def bench(lab: Lab, tmp_path: Path, shared: tuple[Store, Sandbox, LockedSet]) -> Bench:
    root = tmp_path / "distro"
    shutil.copytree(lab.distro, root, symlinks=True)
    return Bench(root, *shared)


def deb_source(bench: Bench, *, step: str = "true", files: dict[str, str] | None = None) -> LockedSource:
    made = native_source(
        "probe",
        "1.0",
        {
            "debian/control": CONTROL,
            "debian/changelog": CHANGELOG,
            "debian/source/format": "3.0 (native)\n",
            "debian/rules": RULES.format(step=step),
            "probe.c": PROGRAM,
            **(files or {}),
        },
    )
    return stored(bench.store, made)


def stored(store: Store, source: DebSource) -> LockedSource:
    files = [
        LockedFile(path=f"{source.folder}/{name}", sha256=store.add_bytes(data), size=len(data), archive="debian")
        for name, data in source.files.items()
    ]
    return LockedSource(name=source.name, version=source.version, files=tuple(files))


DEB = '[source]\nkind = "deb-source"\npackage = "probe"\n'


def test_a_source_becomes_a_package_and_a_log(bench: Bench, tmp_path: Path) -> None:
    bench.component(DEB)
    built = bench.build(bench.locked(deb_source(bench, step="id -u; pwd; date -u +%Y -d @$(SOURCE_DATE_EPOCH)")))
    assert [(one.package.name, one.package.version) for one in built.packages] == [("probe", "1.0")]
    program = bench.unpacked(built, "probe", tmp_path / "probe") / "usr/bin/probe"
    assert program.stat().st_mode & 0o111
    log = bench.log()
    assert f"{PLACE}/probe-1.0" in log
    assert "\n1000\n" in log
    assert "\n2025\n" in log


def test_overlays_are_in_the_package_and_in_its_changelog(bench: Bench, tmp_path: Path) -> None:
    search = '[[operations]]\nop = "search-replace"\npath = "probe.c"\nsearch = "probe "\nreplace = "more probe "\n'
    bench.component(DEB, overlays={"0001-more.toml": OVERLAY + search})
    built = bench.build(bench.locked(deb_source(bench, step="head -3 debian/changelog")))
    assert built.packages[0].package.version == "1.0+z1"
    assert b"more probe " in (bench.unpacked(built, "probe", tmp_path / "probe") / "usr/bin/probe").read_bytes()
    assert "CVE-2026-1234" in bench.log()


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("bash -c '</dev/tcp/192.0.2.1/80'", "the build wants the network, which no build has"),
        ("touch /usr/share/outside", "may write to its own folder and /tmp only, not to /usr/share/outside"),
        ("mkdir /var/outside", "may write to its own folder and /tmp only, not to /var/outside"),
        ("kill -SEGV $$$$", "the build of 'probe' failed"),
        ("echo to be seen; false", "to be seen"),
    ],
)
def test_builds_that_fail_say_why_and_keep_their_log(bench: Bench, step: str, words: str) -> None:
    bench.component(DEB)
    locked = bench.locked(deb_source(bench, step=step))
    with pytest.raises(ToolError) as caught:
        bench.build(locked)
    assert words in said(caught.value)
    assert "zaffre component log probe" in said(caught.value)
    assert "cc -O2 -o probe probe.c" in bench.log()
    assert not Path("/usr/share/outside").exists()
    assert not Path("/var/outside").exists()


def test_a_build_that_hangs_is_stopped(bench: Bench) -> None:
    bench.component(DEB)
    locked = bench.locked(deb_source(bench, step="echo waiting; sleep 600"))
    engine = bench.engine()
    component = engine.distribution.component("probe")
    hasty = component.build.model_copy(update={"time_limit_minutes": 0.1})
    engine.distribution.components["probe"] = component.model_copy(update={"build": hasty})  # type: ignore[index]
    with pytest.raises(ToolError) as caught:
        engine.built(locked, bench.installed, bench.sandbox, created=CREATED, use_cache=False)
    assert "did not end within its 0.1 minutes and was stopped" in said(caught.value)
    assert "waiting" in bench.log()


def test_a_build_that_makes_what_nobody_declared(bench: Bench) -> None:
    bench.component(DEB)
    locked = bench.locked(deb_source(bench), gives=("other",))
    with pytest.raises(DefinitionError, match="the build of 'probe' gave probe"):
        bench.build(locked)


def test_two_builds_elsewhere_are_the_same_and_a_clock_is_found_out(bench: Bench) -> None:
    bench.component(DEB)
    found = {}
    for name, step in (("good", "true"), ("bad", "echo 'int when = '`date +%s`';' >>probe.c; cc -o probe probe.c")):
        locked = bench.locked(deb_source(bench, step=step))
        recipe = Recipe(bench.root, locked, bench.installed, bench.sandbox.tools, bench.store.root, CREATED)
        found[name] = build_twice(
            bench.engine().bench(locked, bench.sandbox, created=CREATED), recipe, progress=SILENT
        ).differences
    assert found["good"] == {}
    assert [*found["bad"]] == ["probe_1.0_amd64.deb"]
    assert any("/usr/bin/probe" in cause for cause in found["bad"]["probe_1.0_amd64.deb"])
