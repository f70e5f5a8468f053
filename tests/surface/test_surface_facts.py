# SPDX-License-Identifier: Apache-2.0
"""What counts as a part of the surface, what does not, and what a budget makes of it."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import pytest

from support.budget import set_budget
from support.shell import Shell
from zaffre.definition import Surface
from zaffre.definition.starter import init_distribution
from zaffre.surface import SurfaceReport, UnitExposure, facts_of, hardening_of, judged
from zaffre.tree.inventory import inventory_of

STATUS = "Package: tools\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1-1\n\n"
PROGRAMS = (
    "bash",
    "dash",
    "busybox",
    "python3.13",
    "mawk",
    "gcc-14",
    "x86_64-linux-gnu-ld.bfd",
    "ls",
    "dashboard",
    "ash2",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    top = tmp_path / "root"
    for folder in ("usr/bin", "usr/lib/systemd/system", "var/lib/dpkg/info", "etc/systemd/system", "tmp", "srv/open"):
        (top / folder).mkdir(parents=True)
    (top / "etc/systemd/system/sockets.target.wants").mkdir()
    (top / "etc/systemd/system/multi-user.target.wants").mkdir()
    for name in PROGRAMS:
        (top / f"usr/bin/{name}").write_text(name)
        (top / f"usr/bin/{name}").chmod(0o755)
    (top / "usr/bin/sh").symlink_to("dash")
    (top / "usr/bin/passwd").write_text("passwd")
    (top / "usr/bin/passwd").chmod(0o4755)
    (top / "tmp").chmod(0o1777)
    (top / "srv/open").chmod(0o777)
    (top / "srv/open/file").write_text("x")
    (top / "srv/open/file").chmod(0o666)
    (top / "etc/passwd").write_text("root:x:0:0::/root:/bin/bash\n")
    (top / "etc/group").write_text("root:x:0:\n")
    units = top / "usr/lib/systemd/system"
    (units / "on.socket").write_text("[Socket]\nListenStream=22\n")
    (units / "off.socket").write_text("[Socket]\nListenStream=23\n")
    (units / "on.service").write_text("[Service]\nExecStart=/usr/bin/ls\n")
    (top / "etc/systemd/system/sockets.target.wants/on.socket").symlink_to("/usr/lib/systemd/system/on.socket")
    (top / "etc/systemd/system/multi-user.target.wants/on.service").symlink_to("/usr/lib/systemd/system/on.service")
    (top / "var/lib/dpkg/status").write_text(STATUS)
    paths = [f"/usr/bin/{name}" for name in (*PROGRAMS, "sh", "passwd")]
    units_of = [f"/usr/lib/systemd/system/{name}" for name in ("on.socket", "off.socket", "on.service")]
    (top / "var/lib/dpkg/info/tools.list").write_text("\n".join((*paths, *units_of)) + "\n")
    return top


def test_what_faces_an_attacker_is_found_and_what_only_looks_like_it_is_not(root: Path) -> None:
    found = facts_of(inventory_of(root))
    assert found.packages == 1
    assert found.setuid == ("/usr/bin/passwd",)
    assert found.shells == ("/usr/bin/bash", "/usr/bin/busybox", "/usr/bin/dash"), "a link is what it leads to"
    assert found.interpreters == ("/usr/bin/mawk", "/usr/bin/python3.13")
    assert found.compilers == ("/usr/bin/gcc-14", "/usr/bin/x86_64-linux-gnu-ld.bfd")
    assert found.listening == ("on.socket",)
    assert found.services == ("on.service",)
    assert found.world_writable == ("/srv/open", "/srv/open/file"), "/tmp is sticky"
    assert found.unowned == ("/srv/open/file",), "accounts and records of package managers are known"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives capabilities")
def test_capabilities_are_no_setuid(root: Path) -> None:
    path = root / "usr/bin/ls"
    os.setxattr(path, "security.capability", struct.pack("<5I", 0x02000000, 1 << 13, 0, 0, 0))
    found = facts_of(inventory_of(root))
    assert (found.capabilities, found.setuid) == (("/usr/bin/ls",), ("/usr/bin/passwd",))


def test_a_budget_that_is_exceeded_names_what_is_too_much(root: Path) -> None:
    report = SurfaceReport(title="a root", facts=facts_of(inventory_of(root)))
    assert judged(report, Surface()).holds
    assert judged(report, Surface(shells=3, setuid=1, packages=1)).holds
    found = judged(report, Surface(shells=2, setuid=0, interpreters=9)).excess
    assert [(one.what, one.found, one.allowed) for one in found] == [("setuid", 1, 0), ("shells", 3, 2)]
    assert found[0].items == ("/usr/bin/passwd",)


def test_what_cannot_be_read_and_what_is_worse_than_unsafe_count(root: Path) -> None:
    (root / "usr/bin/ls").write_bytes(b"\x7fELF")
    units = tuple(
        UnitExposure(unit=f"{word}.service", exposure=level, word=word)
        for word, level in (("dangerous", 10.0), ("unsafe", 9.6), ("exposed", 8.0))
    )
    report = SurfaceReport(title="a root", facts=facts_of(inventory_of(root)), binaries=hardening_of(root), units=units)
    found = {one.what: one.items for one in judged(report, Surface(unhardened=0, unsafe_units=0)).excess}
    assert found == {
        "unhardened": ("/usr/bin/ls (not readable)",),
        "unsafe_units": ("dangerous.service (10.0)", "unsafe.service (9.6)"),
    }


@pytest.mark.tools
def test_the_command_holds_a_root_against_the_budget_of_an_image(
    root: Path, tmp_path: Path, tools_lab: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(capsys)
    set_budget(tools_lab / "images/container-host.toml", "setuid = 0\nshells = 3\n")
    words = ["--distro", tools_lab, "-q", "surface", root]
    assert shell(*words) == 0
    assert "it has no budget" in shell.out
    report = shell.json(*words, "--budget", "container-host", code=1)
    assert [one["what"] for one in report["excess"]] == ["setuid"]
    (unit,) = report["units"]
    assert (unit["unit"], unit["word"]) == ("on.service", "unsafe")
    assert unit["exposure"] > 9
    assert report["binaries"]["files"] == 0
    assert shell(*words, "--budget", "container-host") == 1
    assert "setuid and setgid files: 1, and the budget is 0: /usr/bin/passwd" in shell.out
    assert shell("--distro", tools_lab, "surface", tmp_path / "nowhere") == 2


def test_a_budget_is_merged_and_is_not_for_what_has_no_root(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init_distribution(tmp_path / "own", id="own", name="Own Linux")
    images = tmp_path / "own/images"
    set_budget(images / "container-host.toml", "setuid = 0\nshells = 1\n")
    (images / "child.toml").write_text('kind = "host"\nextends = "container-host"\n[surface]\nshells = 0\n')
    shell = Shell(capsys)
    assert shell("--distro", tmp_path / "own", "show", "child") == 0, shell.err
    assert "surface.setuid" in shell.out.replace('"', "")
    set_budget(images / "check.toml", "setuid = 0\n")
    assert shell("--distro", tmp_path / "own", "show", "check") == 2
    assert "is not for a sysext" in shell.err
