# SPDX-License-Identifier: Apache-2.0
"""Two builds: every path, and what gives rights, listens, runs and is told to the kernel."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path

import pytest
from sides import build

from zaffre.cli import main
from zaffre.compare import Comparison, Reader, compare
from zaffre.digest import sha256_file
from zaffre.errors import ExitCode
from zaffre.tree import Inventory, inventory_of, inventory_text
from zaffre.tree.rootfs import make_folder, make_link, write_text
from zaffre.upstream import User

UNITS = "usr/lib/systemd/system"
PASSWD = "root:x:0:0:root:/root:/bin/sh\n"


def plain_root(root: Path) -> None:
    write_text(root, "usr/bin/tool", "one", mode=0o755)
    write_text(root, "usr/bin/gone", "12345", mode=0o755)
    write_text(root, "usr/lib/modules/6.1/kernel/net/a-b.ko", "module")
    write_text(root, "usr/lib/sysctl.d/10-a.conf", "kernel.panic = 1\nnet/ipv4/conf/eth0.1/forwarding=0\n")
    write_text(root, f"{UNITS}/web.socket", "[Socket]\nListenStream=80\n")
    write_text(root, f"{UNITS}/job.service", "[Service]\nExecStart=/usr/bin/tool\n")
    make_link(root, f"{UNITS}/multi-user.target.wants/job.service", "../job.service")
    write_text(root, "etc/passwd", PASSWD)
    write_text(root, "etc/group", "root:x:0:\n")


def changed_root(root: Path, tree: Path) -> None:
    plain_root(root)
    (root / "usr/bin/gone").unlink()
    (root / "usr/bin/tool").write_text("another")
    (root / "usr/bin/tool").chmod(0o4755)
    (root / "usr/lib/modules/6.1").rename(root / "usr/lib/modules/6.2")
    write_text(root, "usr/lib/modules/6.2/kernel/net/new.ko", "module")
    write_text(root, "etc/sysctl.d/10-a.conf", "kernel.panic = 0\n")
    make_link(root, f"{UNITS}/sockets.target.wants/web.socket", "../web.socket")
    make_link(root, "etc/systemd/system/job.service", "/dev/null")
    write_text(root, "etc/passwd", f"{PASSWD}svc:x:990:990::/:/bin/sh\n")
    write_text(root, "etc/own.conf", (tree / "etc/own.conf").read_text())
    make_folder(root, "srv", mode=0o777)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    write_text(tmp_path / "tree", "etc/own.conf", "ours")
    return tmp_path / "tree"


@pytest.fixture
def builds(tmp_path: Path, tree: Path) -> tuple[Path, Path]:
    owned = {"tool": ("/usr/bin/tool", "/usr/bin/gone"), "kernel": ("/usr/lib/modules/6.1/kernel/net/a-b.ko.xz",)}
    one = build(tmp_path / "one", owned, fill=plain_root, command_line=("quiet", "console=tty0", "console=ttyS0"))
    other = build(
        tmp_path / "other",
        {**owned, "kernel": ("/usr/lib/modules/6.2/kernel/net/a-b.ko", "/usr/lib/modules/6.2/kernel/net/new.ko")},
        versions={"tool": "2"},
        fill=lambda root: changed_root(root, tree),
        command_line=("console=tty0", "lockdown=integrity"),
        trees={"files/host": tree},
        debug=True,
    )
    return one, other


def compared(one: Path, other: Path) -> Comparison:
    return compare(Reader(None).read(str(one)), Reader(None).read(str(other)))


def test_a_build_is_the_same_as_itself(builds: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", str(builds[0]), str(builds[0])]) == ExitCode.DONE
    assert capsys.readouterr().out.rstrip().endswith("There is no difference.")


def test_what_gives_rights_or_lets_somebody_in_comes_first(builds: tuple[Path, Path]) -> None:
    found = compared(*builds)
    assert [(one.what, one.text) for one in found.alerts] == [
        ("debug", "B is a debug image: a root shell on its console, without a password"),
        ("privileged", f"/usr/bin/tool (4755 {os.geteuid()}:{os.getegid()}, tool) gives its caller rights anew"),
        ("listening", "web.socket listens at boot anew: ListenStream=80"),
        ("account", "user svc (uid 990, gid 990, /bin/sh, /) is new [host]"),
    ]
    back = compared(*builds[::-1])
    assert back.alerts == ()
    assert not back.same


def test_files_have_their_package_or_tree_and_modules_no_version(builds: tuple[Path, Path]) -> None:
    details = compared(*builds).details
    assert details is not None
    files = {one.path: one for one in details.files}
    assert (files["/usr/bin/gone"].change, files["/usr/bin/gone"].growth) == ("removed", -5)
    assert files["/usr/bin/tool"].how == ("content", "mode 0755 -> 4755")
    assert (files["/usr/bin/tool"].origin, files["/usr/bin/tool"].growth) == ("tool", 4)
    assert files["/etc/own.conf"].origin == "tree files/host"
    assert files["/etc/passwd"].origin == "made by the build or by a package's script"
    assert files["/srv"].origin == "folders"
    new = "/usr/lib/modules/<kernel>/kernel/net/new.ko"
    assert [path for path in files if "modules" in path] == [new]
    assert files[new].origin == "kernel"
    groups = {one.name: one for one in details.by_origin}
    assert (groups["tool"].removed, groups["tool"].changed, groups["tool"].growth) == (1, 1, -1)
    assert "/usr/bin" in {one.name for one in details.by_folder}


def test_units_settings_kernels_and_modules(builds: tuple[Path, Path]) -> None:
    details = compared(*builds).details
    assert details is not None

    def told(name: str) -> dict[str, tuple[str | None, str | None]]:
        return {one.name: (one.old, one.new) for one in getattr(details, name)}

    assert told("units") == {"job.service": ("enabled", "masked"), "web.socket": ("disabled", "enabled")}
    assert told("listening") == {"web.socket": ("ListenStream=80, not at boot", "ListenStream=80, at boot")}
    assert told("sysctl") == {"kernel.panic": ("1", "0"), "net.ipv4.conf.eth0/1.forwarding": ("0", None)}
    assert told("command_line") == {
        "console": ("tty0 ttyS0", "tty0"),
        "lockdown": (None, "integrity"),
        "quiet": ("set", None),
    }
    assert told("kernels") == {"6.1": ("present", None), "6.2": (None, "present")}
    assert told("modules") == {"new": (None, "present")}


def test_every_line_is_there_with_all(builds: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    sides = [str(path) for path in builds]
    assert main(["diff", *sides, "--top", "1"]) == ExitCode.FINDING
    short = capsys.readouterr().out
    assert "(--all lists them)" in short
    assert main(["diff", *sides, "--all"]) == ExitCode.FINDING
    shown = capsys.readouterr().out
    assert "more (--all" not in shown
    for word in (
        "Look at these first:",
        "~ tool 1 -> 2",
        "in the image",
        "~ job.service",
        "enabled -> masked",
        "root.erofs",
    ):
        assert word in shown
    assert main(["diff", *sides, "--json"]) == ExitCode.FINDING
    plain = json.loads(capsys.readouterr().out)
    details = compared(*builds).details
    assert details is not None
    assert {one["path"] for one in plain["details"]["files"]} == {one.path for one in details.files}


def test_an_inventory_of_another_format_is_told_and_packages_are_compared(tmp_path: Path) -> None:
    one = build(tmp_path / "one", {"a": ()})
    (one / "inventory.json").write_text('{"packages": []}')
    manifest = json.loads((one / "manifest.json").read_text())
    manifest["artifacts"]["inventory.json"]["sha256"] = sha256_file(one / "inventory.json")
    (one / "manifest.json").write_text(json.dumps(manifest))
    found = compared(one, build(tmp_path / "other", {"a": (), "b": ()}))
    assert found.details is None
    assert found.left_out == "A was made by another version of zaffre, whose inventory this one does not read"
    assert [package.name for package in found.sets[0].packages] == ["b"]


def test_a_file_that_got_a_capability_is_an_alert(tmp_path: Path) -> None:
    def fill(root: Path, *capabilities: int) -> None:
        plain_root(root)
        if capabilities:
            bits = sum(1 << one for one in capabilities)
            os.setxattr(root / "usr/bin/tool", "security.capability", struct.pack("<5I", 0x02000000, bits, 0, 0, 0))

    try:
        (tmp_path / "probe").write_text("")
        os.setxattr(tmp_path / "probe", "security.capability", struct.pack("<5I", 0x02000000, 1, 0, 0, 0))
    except OSError:
        pytest.skip("no capabilities can be set on files here")
    one = build(tmp_path / "one", {}, fill=lambda root: fill(root, 10))
    other = build(tmp_path / "other", {}, fill=lambda root: fill(root, 10, 13))
    found = compared(one, other)
    assert [alert.what for alert in found.alerts] == ["privileged"]
    assert "capabilities 10 13" in found.alerts[0].text
    assert compared(other, build(tmp_path / "none", {}, fill=fill)).alerts == ()


def test_an_inventory_is_read_back_as_it_was(builds: tuple[Path, Path], tmp_path: Path) -> None:
    root = tmp_path / "one.root"
    inventory = inventory_of(root, command_line=("quiet",))
    text = inventory_text(inventory)
    assert Inventory.model_validate_json(text) == inventory
    assert inventory_text(inventory_of(root, command_line=("quiet",))) == text
    assert [line for line in text.splitlines() if '"path": "/usr/bin/tool"' in line and line.endswith("},")]
    assert inventory.accounts.users == (User(name="root", uid=0, gid=0, gecos="root", home="/root", shell="/bin/sh"),)
