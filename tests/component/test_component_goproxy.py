# SPDX-License-Identifier: Apache-2.0
"""Modules come from where the host's Go is set to, and are what their checksums say, or do not come at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from component.test_component_gosum import PROBE, zipped
from support.repository import Archive, Fault, Mirror
from support.upstreams import QUICK, said
from zaffre.component.goproxy import Modules
from zaffre.component.gosettings import find_proxies, settings_files
from zaffre.component.gosum import GoFile, sum_of_mod, sum_of_zip
from zaffre.errors import IntegrityError, WorldError
from zaffre.progress import SILENT
from zaffre.store import Store

ZIP = zipped(
    {"example.org/Probe@v1.2.3/go.mod": "module example.org/Probe", "example.org/Probe@v1.2.3/a.go": "package a"}
)
MOD = b"module example.org/Probe"
GO_MOD = GoFile(PROBE.module, PROBE.version, mod=True)
SUMS = {PROBE: sum_of_zip(ZIP, PROBE), GO_MOD: sum_of_mod(MOD)}


@pytest.fixture
def proxy() -> Iterator[Mirror]:
    archive = Archive()
    archive.files = {PROBE.path: ZIP, GO_MOD.path: MOD}
    with Mirror({"go": archive}) as mirror:
        yield mirror


def modules(store: Store, value: str) -> Modules:
    return Modules(store, environ={"GOPROXY": value, "GOENV": "off", "GOROOT": "/nonexistent"}, limits=QUICK)


def test_the_environment_wins_over_the_settings_of_user_and_toolchain(tmp_path: Path) -> None:
    user, toolchain = tmp_path / "env", tmp_path / "go.env"
    toolchain.write_text("# comment\nGOPROXY=https://three.example,direct\n")
    settings = [user, toolchain]
    assert find_proxies({}, settings=settings).places[0].url == "https://three.example"
    user.write_text("GOFLAGS=-x\nGOPROXY=https://two.example/|file:///srv/go\n")
    found = find_proxies({}, settings=settings)
    assert [(one.url, one.always) for one in found.places] == [("https://two.example", True), ("file:///srv/go", False)]
    assert found.origin == str(user)
    assert find_proxies({"GOPROXY": "https://one.example"}, settings=settings).origin == "$GOPROXY"


def test_where_go_keeps_its_settings(tmp_path: Path) -> None:
    assert settings_files({"GOENV": "/x/env", "GOROOT": "/go"}) == (Path("/x/env"), Path("/go/go.env"))
    assert settings_files({"GOENV": "off", "PATH": str(tmp_path)}) == ()


@pytest.mark.parametrize("value", ["", "direct", "off", "direct,off"])
def test_no_proxy_is_set(value: str) -> None:
    with pytest.raises(WorldError) as caught:
        find_proxies({"GOPROXY": value}, settings=[])
    assert "go env -w GOPROXY=URL" in said(caught.value)


def test_what_is_in_the_store_is_not_asked_for_again(tmp_path: Path, proxy: Mirror) -> None:
    store = Store(tmp_path)
    first = modules(store, f"{proxy.url}/go").fetch(SUMS, SILENT)
    assert {file: store.path(digest).read_bytes() for file, digest in first.items()} == {PROBE: ZIP, GO_MOD: MOD}
    assert modules(store, "off").fetch(SUMS, SILENT) == first
    assert len(proxy.requests) == 2


def test_a_directory_is_a_proxy_too(tmp_path: Path) -> None:
    for file, content in ((PROBE, ZIP), (GO_MOD, MOD)):
        place = tmp_path / "proxy" / file.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
    assert len(modules(Store(tmp_path / "store"), (tmp_path / "proxy").as_uri()).fetch(SUMS, SILENT)) == 2


def test_a_module_with_another_checksum(tmp_path: Path, proxy: Mirror) -> None:
    store = Store(tmp_path)
    with pytest.raises(IntegrityError) as caught:
        modules(store, f"{proxy.url}/go").fetch({PROBE: SUMS[GO_MOD], GO_MOD: SUMS[GO_MOD]}, SILENT)
    text = said(caught.value)
    assert "example.org/Probe@v1.2.3 does not have the checksum" in text
    assert f"found  {SUMS[PROBE]}" in text
    assert modules(store, f"{proxy.url}/go").fetch(SUMS, SILENT)


def test_the_next_proxy_is_asked_as_go_asks_it(tmp_path: Path, proxy: Mirror) -> None:
    """After "," only for what the first one has not got, after "|" whatever went wrong."""
    store = Store(tmp_path)
    absent, good = f"{proxy.url}/elsewhere", f"{proxy.url}/go"
    assert modules(store, f"{absent},{good}").fetch({PROBE: SUMS[PROBE]}, SILENT)
    proxy.fault("first/*", Fault(status=403))
    with pytest.raises(WorldError) as caught:
        modules(store, f"{proxy.url}/first,{good}").fetch({GO_MOD: SUMS[GO_MOD]}, SILENT)
    assert "HTTP 403" in said(caught.value)
    assert modules(store, f"{proxy.url}/first|{good}").fetch({GO_MOD: SUMS[GO_MOD]}, SILENT)


def test_a_file_that_never_ends(tmp_path: Path, proxy: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zaffre.component.goproxy.MAX_MOD_BYTES", 100_000)
    proxy.fault("go/*", Fault(endless=True))
    with pytest.raises(WorldError) as caught:
        modules(Store(tmp_path), f"{proxy.url}/go").fetch({GO_MOD: SUMS[GO_MOD]}, SILENT)
    assert "larger than it may be" in said(caught.value)


def test_the_time_of_a_version(tmp_path: Path, proxy: Mirror) -> None:
    proxy.archives["go"].files["example.org/!probe/@v/v1.2.3.info"] = (
        b'{"Version":"v1.2.3","Time":"2026-02-10T12:53:36Z"}'
    )
    asked = modules(Store(tmp_path), f"{proxy.url}/go")
    time = asked.time(PROBE)
    assert time is not None
    assert time.isoformat() == "2026-02-10T12:53:36+00:00"
    assert asked.time(GoFile("example.org/other", "v1.0.0")) is None


def test_a_checksum_is_learned_of_what_a_proxy_gives(tmp_path: Path, proxy: Mirror) -> None:
    store = Store(tmp_path)
    assert modules(store, f"{proxy.url}/go").learn(PROBE) == SUMS[PROBE]
    assert modules(store, "off").fetch({PROBE: SUMS[PROBE]}, SILENT), "what was learned is not fetched again"
    proxy.archives["go"].files[GoFile("example.org/Probe", "v1.2.4").path] = ZIP
    with pytest.raises(IntegrityError, match="holds a path that no module has"):
        modules(store, f"{proxy.url}/go").learn(GoFile("example.org/Probe", "v1.2.4"))


def test_the_versions_that_a_proxy_lists(tmp_path: Path, proxy: Mirror) -> None:
    files = proxy.archives["go"].files
    asked = modules(Store(tmp_path), f"{proxy.url}/elsewhere,{proxy.url}/go")
    with pytest.raises(WorldError) as caught:
        asked.versions("example.org/Probe")
    assert "the versions of the Go module example.org/Probe cannot be fetched" in said(caught.value)
    files["example.org/!probe/@v/list"] = b"v1.2.3\nv1.3.0-rc.1\n"
    assert asked.versions("example.org/Probe") == ("v1.2.3", "v1.3.0-rc.1")
    assert asked.go_mod("example.org/Probe", "v1.2.3") == MOD.decode()


def test_a_module_without_versions_has_a_latest_one(tmp_path: Path, proxy: Mirror) -> None:
    files = proxy.archives["go"].files
    asked = modules(Store(tmp_path), f"{proxy.url}/go")
    files["example.org/!probe/@v/list"] = b""
    files["example.org/!probe/@latest"] = b'{"Version":"v0.0.0-20260102030405-abcdefabcdef"}'
    assert asked.versions("example.org/Probe") == ("v0.0.0-20260102030405-abcdefabcdef",)
    files["example.org/!probe/@latest"] = b"[]"
    with pytest.raises(WorldError, match="does not say in the form of the protocol"):
        asked.versions("example.org/Probe")
