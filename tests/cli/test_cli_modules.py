# SPDX-License-Identifier: Apache-2.0
"""Go modules by the command line: what drift and update learn of them from a proxy, and what they write."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from component.test_component_gosum import zipped
from support.shell import Shell
from support.sources import write
from zaffre.component.gosum import GoFile, sum_of_zip
from zaffre.definition import init_distribution, load_distribution
from zaffre.errors import ExitCode
from zaffre.upstream.lock import Lock, LockedPackage, LockedSet, save_lock

MODULE = "example.org/Probe"
COMPONENT = """\
# Why it is here.
description = "a probe"

[source]
kind = "go-module"
module = "example.org/Probe"
version = "v1.2.0"  # the one that is tried
sum = "{sum}"
packages = ["./cmd/probe"]

[build]
link_flags = ["-X main.version=v1.2.0"]

[[packages]]
name = "probe"
description = "a probe"
install = {{ "bin/probe" = "/usr/bin/probe" }}
"""
OVERLAY = """\
category = "bug-fix"
reason = "it must not be silent"
upstream_status = "submitted"
links = ["CVE-2026-1234"]
since = 2026-01-02
until = {until}
[[operations]]
op = "patch-add"
file = "patches/loud.patch"
"""
PINS = """\
category = "build"
reason = "what it needs is published elsewhere"
upstream_status = "inappropriate"
links = ["README.md"]
since = 2026-01-02
until = 2099-01-01
[[operations]]
op = "search-replace"
path = "go.mod"
search = "go 1.24"
replace = "go 1.24.1"
"""
PATCH = """\
--- a/main.go
+++ b/main.go
@@ -1,5 +1,5 @@
 package main
 // one
-const loud = false
+const loud = true
 // two
 // three
"""
MAIN = "package main\n// one\nconst loud = false\n// two\n// three\n"


class Site:
    """A distribution with one Go module at v1.2.0, an empty store, and a folder that is the proxy."""

    def __init__(self, root: Path) -> None:
        self.root, self.store, self.proxy = root / "acme", root / "store", root / "proxy"
        init_distribution(self.root, id="acme", name="Acme Linux")
        shutil.rmtree(self.root / "components", ignore_errors=True)
        checksum = self.publish("v1.2.0")
        self.folder = write(self.root / "components/probe", {"component.toml": COMPONENT.format(sum=checksum)})

    def publish(self, version: str, *, main: str = MAIN, mod: str = "go 1.24\n") -> str:
        """Give the proxy a version; its checksum."""
        file = GoFile(MODULE, version)
        text = f"module {MODULE}\n{mod}"
        content = zipped({f"{MODULE}@{version}/{name}": one for name, one in (("go.mod", text), ("main.go", main))})
        place = self.proxy / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        (self.proxy / GoFile(MODULE, version, mod=True).path).write_text(text)
        with (place.parent / "list").open("a") as listed:
            listed.write(f"{version}\n")
        return sum_of_zip(content, file)

    def overlay(self, *, until: str = "2099-01-01") -> None:
        files = {"overlays/0001-loud.toml": OVERLAY.format(until=until), "patches/loud.patch": PATCH}
        write(self.folder, files)

    def say(self, key: str, value: str) -> None:
        """Add a setting of the source."""
        path = self.folder / "component.toml"
        path.write_text(path.read_text().replace("packages = ", f"{key} = {value}\npackages = ", 1))

    def lock_with_go(self, version: str) -> None:
        """A lock that says what Go the module is built with."""
        package = LockedPackage(
            name="golang-1.24-go",
            version=version,
            architecture="amd64",
            sha256="0" * 64,
            size=1,
            path="pool/go.deb",
            suite="trixie",
            archive="debian",
            source="golang-1.24",
            source_version=version,
        )
        built_with = LockedSet(
            name="component:probe", architecture="amd64", upstream="debian", request="0" * 64, packages=(package,)
        )
        now = datetime(2026, 11, 25, tzinfo=UTC)
        lock = Lock(distribution="acme", created=now, serial=1, suites=(), sets=(built_with,))
        save_lock(lock, self.root / "zaffre.lock")

    @property
    def text(self) -> str:
        return (self.folder / "component.toml").read_text()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def zaffre(capsys: pytest.CaptureFixture[str], site: Site, monkeypatch: pytest.MonkeyPatch) -> Shell:
    monkeypatch.setenv("ZAFFRE_STORE", str(site.store))
    monkeypatch.setenv("ZAFFRE_DISTRO", str(site.root))
    monkeypatch.setenv("GOPROXY", site.proxy.as_uri())
    monkeypatch.setenv("GOENV", "off")
    return Shell(capsys)


class TestDrift:
    def test_overlays_are_tried_on_the_module(self, zaffre: Shell, site: Site) -> None:
        site.overlay()
        (one,) = zaffre.json("drift")["deviations"]
        assert (one["state"], one["because"]) == ("current", "")
        write(site.folder, {"patches/loud.patch": PATCH.replace("+const loud = true", "+const loud = false")})
        shutil.rmtree(site.proxy)
        site.publish("v1.2.0")
        write(site.folder, {"patches/loud.patch": PATCH.replace("loud = false", "loud = nil")})
        (one,) = zaffre.json("drift", code=ExitCode.FINDING)["deviations"]
        assert one["state"] == "conflicting"

    def test_the_newest_version_is_what_the_upstream_has(self, zaffre: Shell, site: Site) -> None:
        site.overlay(until='"v1.2.1"')
        (one,) = zaffre.json("drift")["deviations"]
        assert (one["state"], one["upstream_version"]) == ("current", "v1.2.0")
        site.publish("v1.2.1")
        found = zaffre.json("drift", code=ExitCode.FINDING)
        assert found["modules"] == [{"component": "probe", "version": "v1.2.0", "newest": "v1.2.1", "passed": []}]
        (one,) = found["deviations"]
        assert one["because"] == "the upstream has v1.2.1, and it was for versions before v1.2.1"
        assert zaffre("drift") == ExitCode.FINDING
        assert "probe v1.2.0: v1.2.1 is there (zaffre component update probe)" in zaffre.out

    def test_without_a_proxy_only_what_is_known_is_said(
        self, zaffre: Shell, site: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site.overlay()
        monkeypatch.setenv("GOPROXY", (site.proxy / "elsewhere").as_uri())
        assert zaffre("drift") == ExitCode.DONE
        assert "the versions of the Go module example.org/Probe cannot be fetched" in zaffre.err
        assert "unknown: the Go module example.org/Probe@v1.2.0 cannot be fetched" in zaffre.out
        monkeypatch.setenv("GOPROXY", site.proxy.as_uri())
        assert zaffre.json("drift")["deviations"][0]["state"] == "current"
        monkeypatch.setenv("GOPROXY", "off")
        (one,) = zaffre.json("drift")["deviations"]
        assert one["state"] == "current", "the module is in the store"


class TestUpdate:
    def test_version_and_checksum_are_written_and_nothing_else(self, zaffre: Shell, site: Site) -> None:
        before, checksum = site.text, site.publish("v1.3.0")
        site.publish("v1.4.0-rc.1")
        (one,) = zaffre.json("component", "update", "--dry-run")
        assert (one["old"], one["new"], one["changed"]) == ("v1.2.0", "v1.3.0", [])
        assert one["module"] == {"version": "v1.3.0", "sum": checksum}
        assert site.text == before
        assert zaffre("component", "update") == ExitCode.DONE
        assert "probe v1.2.0 -> v1.3.0" in zaffre.out
        assert f"go mod download -json {MODULE}@v1.3.0" in zaffre.out
        source = load_distribution(site.root).component("probe").source
        assert source.kind == "go-module"
        assert (source.version, source.sum) == ("v1.3.0", checksum)
        assert site.text == before.replace('version = "v1.2.0"', 'version = "v1.3.0"').replace(
            before.partition('sum = "')[2].partition('"')[0], checksum
        )
        assert "main.version=v1.2.0" in site.text, "what is no version of the source's is no business of it"
        (one,) = zaffre.json("component", "update", "probe")
        assert (one["old"], one["new"], one["module"], one["changed"]) == ("v1.3.0", "v1.3.0", None, [])

    def test_it_stays_within_the_minor_version(self, zaffre: Shell, site: Site) -> None:
        for version in ("v1.2.7", "v1.3.1", "v1.3.0"):
            site.publish(version)
        site.say("within", '"minor"')
        assert zaffre("component", "update") == ExitCode.DONE
        assert 'v1.3.1 is of another minor version, and `source.within` is "minor"' in zaffre.out
        assert 'version = "v1.2.7"' in site.text

    def test_what_its_go_can_not_build_is_passed_over(self, zaffre: Shell, site: Site) -> None:
        site.publish("v1.3.0")
        site.publish("v1.4.0", mod="go 1.25.0\n")
        site.lock_with_go("1.24.4-1")
        (one,) = zaffre.json("component", "update", "--dry-run")
        assert one["new"] == "v1.3.0"
        assert one["remarks"][0] == "v1.4.0 asks for Go 1.25.0, and it is built with Go 1.24.4"

    def test_what_was_taken_back_is_passed_over(self, zaffre: Shell, site: Site) -> None:
        site.publish("v1.2.5")
        site.publish("v1.2.6", mod="go 1.24\nretract v1.2.6 // by mistake\n")
        (one,) = zaffre.json("component", "update", "--dry-run")
        assert one["new"] == "v1.2.5"
        assert one["remarks"][0] == "v1.2.6 was taken back by its authors"

    def test_only_pre_releases(self, zaffre: Shell, site: Site) -> None:
        site.publish("v1.3.0-rc.1")
        (one,) = zaffre.json("component", "update")
        assert (one["new"], one["module"]) == ("v1.2.0", None)

    def test_a_patch_is_made_anew_for_the_new_version(self, zaffre: Shell, site: Site) -> None:
        site.overlay()
        site.publish("v1.2.1", main=MAIN.replace("// one\n", "// a half\n// one\n"))
        (one,) = zaffre.json("component", "update")
        assert one["overlays"][0]["fit"] == "clean"
        assert sorted(one["changed"]) == ["component.toml", "patches/loud.patch"]
        assert " // a half" in (site.folder / "patches/loud.patch").read_text()
        assert zaffre.json("drift")["deviations"][0]["state"] == "current"

    def test_an_obsolete_overlay_goes_with_the_version(self, zaffre: Shell, site: Site) -> None:
        site.overlay()
        site.publish("v1.2.1", main=MAIN.replace("false", "true"))
        (one,) = zaffre.json("component", "update", "--yes")
        assert one["overlays"][0]["fit"] == "obsolete"
        assert not load_distribution(site.root).component("probe").overlays

    def test_a_conflict_leaves_all_as_it_is(self, zaffre: Shell, site: Site) -> None:
        site.overlay()
        site.publish("v1.2.1", main=MAIN.replace("const loud = false", "const loud = 7"))
        before = site.text
        assert zaffre("component", "update") == ExitCode.FINDING
        assert "1 conflict to solve" in zaffre.out
        assert site.text == before

    def test_versions_of_other_modules_are_moved_by_hand(self, zaffre: Shell, site: Site) -> None:
        write(site.folder, {"overlays/0001-pins.toml": PINS, "README.md": "why"})
        before, checksum = site.text, site.publish("v1.2.1")
        assert zaffre("component", "update") == ExitCode.DONE
        assert "by hand: components/probe/overlays/0001-pins.toml changes go.mod or go.sum" in zaffre.out
        assert f'version = "v1.2.1" and sum = "{checksum}"' in zaffre.out
        assert site.text == before

    def test_a_definition_whose_text_does_not_show_it(self, zaffre: Shell, site: Site) -> None:
        site.publish("v1.2.1")
        path = site.folder / "component.toml"
        path.write_text(site.text.replace('version = "v1.2.0"', '"version" = "v1.2.0"'))
        before = site.text
        assert zaffre("component", "update") == ExitCode.DONE
        assert "does not show plainly where its version and checksum are" in zaffre.out
        assert site.text == before

    def test_a_proxy_that_does_not_answer(self, zaffre: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GOPROXY", "off")
        assert zaffre("component", "update") == ExitCode.WORLD
        assert "Go is set to no module proxy" in zaffre.err
