# SPDX-License-Identifier: Apache-2.0
"""Scripts of the package that has a server's own files, run by dpkg: files that another package has too."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from support.repository import Deb
from zaffre.definition import Image, Selinux, SelinuxMode
from zaffre.image.ownscripts import kernel_scripts, system_scripts
from zaffre.sandbox import Mount, Sandbox

pytestmark = pytest.mark.tools

NAME = "acme-server"
IMAGE = Image.model_validate({"name": "server", "kind": "server", "upstream": "debian", "packages": ["base"]})
_DPKG = ("dpkg", "--root=/job/root", "--force-script-chrootless", "--force-unsafe-io", "--log=/dev/null")


@dataclass(frozen=True)
class Machine:
    """A root that dpkg of the tools works on, from outside."""

    root: Path
    sandbox: Sandbox

    def dpkg(self, *words: str, deb: Deb | None = None) -> str:
        package = self.root.with_name("one.deb")
        package.write_bytes(deb.build() if deb else b"")
        mounts = [Mount(self.root, "/job/root", writable=True), Mount(package, "/job/one.deb")]
        done = self.sandbox.run([*_DPKG, *words], mounts=mounts, timeout=60.0)
        return done.stdout.decode() + done.stderr_tail

    def install(self, deb: Deb) -> str:
        return self.dpkg("--install", "/job/one.deb", deb=deb)

    def text(self, path: str) -> str | None:
        found = self.root / path
        return found.read_text() if found.exists() else None


@pytest.fixture
def machine(tmp_path: Path, tools_sandbox: Sandbox) -> Machine:
    root = tmp_path / "root"
    for folder in ("usr/lib", *(f"var/lib/dpkg/{name}" for name in ("info", "updates", "triggers"))):
        (root / folder).mkdir(parents=True)
    (root / "var/lib/dpkg/status").touch()
    found = Machine(root, tools_sandbox)
    found.install(base("1"))
    return found


def base(version: str) -> Deb:
    return Deb("base", version, files={"usr/lib/a": f"theirs {version}", "usr/lib/b c": f"theirs {version}"})


def ours(version: str, *paths: str) -> Deb:
    """With files of ours at the paths, which `base` has too."""
    scripts = system_scripts(NAME, IMAGE, diverted=[f"/{path}" for path in paths], owners={}, install="true")
    return Deb(NAME, version, files=dict.fromkeys(paths, f"ours {version}"), scripts=scripts)


def test_a_file_of_ours_takes_the_place_of_theirs(machine: Machine) -> None:
    machine.install(ours("1", "usr/lib/a", "usr/lib/b c"))
    assert machine.text("usr/lib/a") == "ours 1"
    assert machine.text("usr/lib/b c.upstream") == "theirs 1"
    machine.install(base("2"))
    assert machine.text("usr/lib/a") == "ours 1"
    assert machine.text("usr/lib/a.upstream") == "theirs 2"


def test_what_a_later_release_does_not_replace_is_theirs_again(machine: Machine) -> None:
    machine.install(ours("1", "usr/lib/a", "usr/lib/b c"))
    machine.install(ours("2", "usr/lib/a"))
    assert machine.text("usr/lib/b c") == "theirs 1"
    assert machine.text("usr/lib/b c.upstream") is None
    assert machine.text("usr/lib/a") == "ours 2"
    machine.install(ours("3"))
    assert machine.text("usr/lib/a") == "theirs 1"
    machine.install(base("2"))
    assert machine.text("usr/lib/a") == "theirs 2"


def test_without_the_package_all_is_theirs_again(machine: Machine) -> None:
    machine.install(ours("1", "usr/lib/a", "usr/lib/b c"))
    machine.dpkg("--remove", NAME)
    assert machine.text("usr/lib/a") == machine.text("usr/lib/b c") == "theirs 1"


def test_a_diversion_of_another_is_left_alone(machine: Machine) -> None:
    machine.install(ours("1", "usr/lib/a"))
    other = 'dpkg-divert --package other --add --rename --divert "/usr/lib/b c.upstream" "/usr/lib/b c"'
    machine.install(Deb("other", scripts={"preinst": f"#!/bin/sh\n{other}\n"}))
    machine.install(ours("2"))
    assert machine.text("usr/lib/b c") is None
    assert machine.text("usr/lib/b c.upstream") == "theirs 1"


def test_what_somebody_put_in_its_place_does_not_stop_an_upgrade(machine: Machine) -> None:
    machine.install(ours("1", "usr/lib/a"))
    # Nobody's file, in the very place: dpkg takes ours away, and this stays.
    scripts = ours("2").scripts
    putting = scripts["postinst"].replace("set -e\n", 'set -e\nprintf mine >"$DPKG_ROOT/usr/lib/a"\n')
    said = machine.install(Deb(NAME, "2", scripts={**scripts, "postinst": putting}))
    assert machine.text("usr/lib/a") == "mine"
    assert machine.text("usr/lib/a.upstream") == "theirs 1"
    assert "dpkg-divert: error" in said


@pytest.mark.parametrize(
    ("laid", "packaged", "installed"),
    [("table 1", "table 1", "installed\n"), ("table 1", "table 2", ""), (None, "table 1", ""), ("table 1", None, "")],
)
def test_a_kernel_that_enforces_waits_for_its_policy(
    tmp_path: Path, tools_sandbox: Sandbox, laid: str | None, packaged: str | None, installed: str
) -> None:
    """On a machine that has another one or none, the package that brings it installs the kernel."""
    text = kernel_scripts("echo installed", enforced=True)["postinst"]
    for name, place, content in (("here", "/usr/lib/zaffre/selinux/", packaged), ("there", "/etc/selinux/", laid)):
        assert place in text
        text = text.replace(place, f"/job/{name}/")
        table = tmp_path / name / "default/contexts/files/file_contexts"
        table.parent.mkdir(parents=True)
        if content is not None:
            table.write_text(content)
    (tmp_path / "postinst").write_text(text)
    done = tools_sandbox.run(["sh", "/job/postinst", "configure"], mounts=[Mount(tmp_path, "/job")], timeout=60.0)
    assert done.stdout.decode() == installed


def test_the_package_with_the_policy_installs_the_kernel_after_it() -> None:
    image = IMAGE.model_copy(update={"selinux": Selinux(mode=SelinuxMode.ENFORCING)})
    lines = system_scripts(NAME, image, diverted=[], owners={}, install="install-kernel")["postinst"].split("\n")
    stripped = [line.strip() for line in lines]
    assert stripped.index("sh /usr/lib/zaffre/install-policy") + 1 == stripped.index("install-kernel")
