# SPDX-License-Identifier: Apache-2.0
"""A small Go module from a proxy on this machine: locked, built without a network, packaged, run."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from component.test_component_gosum import zipped
from support.lab import Lab
from zaffre.component.gosum import GoFile, sum_of_mod, sum_of_zip
from zaffre.store import Store

pytestmark = [
    pytest.mark.tools,
    pytest.mark.xdist_group("component-building"),
    pytest.mark.skipif(os.geteuid() != 0, reason="a build root has many owners"),
]

MAIN = """\
package main

import (
	"crypto/fips140"
	"fmt"

	"example.org/words"
)

var version = "unknown"

func main() { fmt.Println(words.Greeting(), version, fips140.Enabled()) }
"""
WORDS = 'package words\n\nfunc Greeting() string { return "hello" }\n'
TEST = """\
package main

import "testing"

func TestVersion(t *testing.T) {
	if version != "unknown" {
		t.Fatal(version)
	}
}
"""
COMPONENT = """\
description = "a probe"
[source]
kind = "go-module"
module = "example.org/Probe"
version = "v1.2.0-rc.1"
sum = "{sum}"
packages = ["./cmd/probe"]
[build]
link_flags = ["-X main.version={{version}}"]
fips = "v1.0.0"
[[packages]]
name = "probe"
description = "a probe, off until it is configured"
depends = ["libc6"]
install = {{ "bin/probe" = "/usr/bin/probe", "probe.default" = "/etc/default/probe" }}
units = ["probe.service"]
conffiles = ["/etc/default/probe"]
"""


@dataclass(frozen=True)
class Shop:
    """A copy of the lab's distribution with a Go component, and the proxy that has its modules."""

    lab: Lab
    distro: Path
    proxy: Path

    def zaffre(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        env = {"GOPROXY": self.proxy.as_uri(), "GOENV": "off"}
        return self.lab.zaffre("--distro", str(self.distro), *words, check=check, env=env)

    def component(self, checksum: str) -> None:
        folder = self.distro / "components/probe"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "component.toml").write_text(COMPONENT.format(sum=checksum))
        (folder / "probe.default").write_text("#A=1\n")
        (folder / "probe.service").write_text("[Service]\nExecStart=/usr/bin/probe\n")


def published(proxy: Path, file: GoFile, files: dict[str, str]) -> dict[GoFile, str]:
    """Put a module into the proxy; its checksums."""
    content = zipped({f"{file.module}@{file.version}/{name}": text for name, text in files.items()})
    mod = GoFile(file.module, file.version, mod=True)
    for one, data in ((file, content), (mod, files["go.mod"].encode())):
        place = proxy / one.path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    info = proxy / file.path.replace(".zip", ".info")
    info.write_text(json.dumps({"Version": file.version, "Time": "2026-01-02T03:04:05Z"}))
    return {file: sum_of_zip(content, file), mod: sum_of_mod(files["go.mod"].encode())}


@pytest.fixture(scope="module")
def shop(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root = tmp_path_factory.mktemp("go")
    shop = Shop(lab, root / "distro", root / "proxy")
    shutil.copytree(lab.distro, shop.distro, symlinks=True)
    words = published(
        shop.proxy,
        GoFile("example.org/words", "v1.0.0"),
        {
            "go.mod": "module example.org/words\n",
            "words.go": 'package words\n\nfunc Greeting() string { return "hello" }\n',
        },
    )
    sums = "".join(f"{one.module} {one.version}{'/go.mod' if one.mod else ''} {text}\n" for one, text in words.items())
    probe = published(
        shop.proxy,
        GoFile("example.org/Probe", "v1.2.0-rc.1"),
        {
            "go.mod": "module example.org/Probe\n\ngo 1.24\n\nrequire example.org/words v1.0.0\n",
            "go.sum": sums,
            "LICENSE": "free\n",
            "cmd/probe/main.go": MAIN,
            "cmd/probe/main_test.go": TEST,
        },
    )
    shop.component(probe[GoFile("example.org/Probe", "v1.2.0-rc.1")])
    return shop


def test_a_module_is_locked_built_and_packed(shop: Shop, tmp_path: Path) -> None:
    shop.zaffre("lock")
    lock = json.loads((shop.distro / "zaffre.lock").read_text())
    (locked,) = (one for one in lock["components"] if one["name"] == "probe")
    assert locked["outcome"] == "locked", "no image takes it, so it is not built yet"
    assert len(locked["source"]["modules"]) == 64
    assert locked["source"]["epoch"] == 1767323045
    shutil.rmtree(shop.proxy)
    try:
        (built,) = json.loads(shop.zaffre("component", "build", "probe", "--json").stdout)
    finally:
        shop.proxy.mkdir()
    (package,) = built["packages"]
    assert (package["name"], package["version"]) == ("probe", "1.2.0~rc.1-0z1")
    content = Store(Store.default_root()).path(package["sha256"])
    subprocess.run(["dpkg-deb", "--raw-extract", content, tmp_path / "probe"], check=True)
    said = subprocess.run([tmp_path / "probe/usr/bin/probe"], check=True, capture_output=True, text=True).stdout
    assert said == "hello v1.2.0-rc.1 true\n"
    files = {str(path.relative_to(tmp_path / "probe")) for path in (tmp_path / "probe").rglob("*") if path.is_file()}
    assert files >= {
        "etc/default/probe",
        "usr/lib/systemd/system/probe.service",
        "usr/share/doc/probe/copyright",
        "DEBIAN/conffiles",
    }
    assert not (tmp_path / "probe/DEBIAN/postinst").exists(), "a unit is enabled by an image and by nobody else"
    assert "ok  \texample.org/Probe/cmd/probe" in shop.zaffre("component", "log", "probe").stdout


def test_a_module_with_another_checksum(shop: Shop, tmp_path: Path) -> None:
    other = Shop(shop.lab, tmp_path / "distro", tmp_path / "proxy")
    shutil.copytree(shop.distro, other.distro, symlinks=True)
    published(
        other.proxy,
        GoFile("example.org/Probe", "v1.2.0-rc.1"),
        {"go.mod": "module example.org/Probe\n", "a.go": "package a"},
    )
    other.component("h1:KqL9EJ+WgHtz1HR1exezm91n+o8O2uMLs/eHzHJHAWw=")
    failed = other.zaffre("lock", check=False)
    assert failed.returncode == 3
    assert "the Go module example.org/Probe@v1.2.0-rc.1 does not have the checksum that it must have" in failed.stderr
