# SPDX-License-Identifier: Apache-2.0
"""The rules of WSL's documentation, each broken once. Pure: the files are made here."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from support.wsl import CONF, Tree, elf, sound_tree
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.image.wsl import check_wsl
from zaffre.image.wsl.units import HARMFUL

UNITS = "usr/lib/systemd/system"
CONF_PATH = "etc/wsl-distribution.conf"


def findings(path: Path) -> list[str]:
    return [f"{finding.severity}: {finding.text}" for finding in check_wsl(path).findings]


def test_a_sound_file_keeps_every_rule(tmp_path: Path) -> None:
    report = check_wsl(sound_tree().write(tmp_path / "sound.wsl"))
    assert report.findings == ()
    assert report.ok
    assert report.architecture == "amd64"
    assert len(report.rules) == 17


def test_names_may_begin_with_a_dot_and_a_slash(tmp_path: Path) -> None:
    assert findings(sound_tree().write(tmp_path / "a.wsl", prefix="./")) == []
    assert findings(sound_tree().write(tmp_path / "b.wsl", prefix="/")) == []


def conf(old: str, new: str) -> Callable[[Tree], None]:
    assert old in CONF
    return lambda tree: tree.put(CONF_PATH, CONF.replace(old, new))


def without(*paths: str) -> Callable[[Tree], None]:
    def change(tree: Tree) -> None:
        for path in paths:
            del tree.entries[path]

    return change


def put(path: str, content: bytes | str = b"", **fields: object) -> Callable[[Tree], None]:
    return lambda tree: tree.put(path, content, **fields)


def pull(folder: str, puller: str, unit: str) -> Callable[[Tree], None]:
    """A unit that is there, is pulled in, and is not masked."""

    def change(tree: Tree) -> None:
        for scope in ("system", "user"):
            tree.entries.pop(f"etc/systemd/{scope}/{unit}", None)
        tree.put(f"{folder}/{unit}", "[Unit]\n")
        tree.put(f"{folder}/{puller}/{unit}", f"->../{unit}")

    return change


BROKEN: list[tuple[str, Callable[[Tree], None], str]] = [
    ("no conf", without(CONF_PATH), "error: it is not there"),
    ("conf is no ini", put(CONF_PATH, "command = x\n"), "error: it cannot be read: File contains no section headers"),
    ("conf has another key", conf("defaultName", "defaultNam"), "error: the documentation has no key oobe.defaultnam"),
    ("conf is not root's", put(CONF_PATH, CONF, uid=1000), "warning: /etc/wsl-distribution.conf belongs to 1000:0"),
    ("conf is writable", put(CONF_PATH, CONF, mode=0o666), "warning: /etc/wsl-distribution.conf has the mode 0666"),
    ("no wsl.conf", without("etc/wsl.conf"), "warning: it is not there"),
    ("wsl.conf has another key", put("etc/wsl.conf", "[boot]\nsystemd=true\n[x]\ny=1\n"), "warning: the documentation"),
    ("no command", conf("command = /usr/lib/wsl/oobe", ""), "warning: there is no oobe.command"),
    ("command is missing", without("usr/lib/wsl/oobe"), "error: oobe.command names /usr/lib/wsl/oobe, which is not"),
    ("command is no program", put("usr/lib/wsl/oobe", "x"), "error: oobe.command names /usr/lib/wsl/oobe, which can"),
    ("command is elsewhere", conf("/usr/lib/wsl/oobe", "/usr/bin/sh"), "warning: oobe.command names /usr/bin/sh"),
    ("no uid", conf("defaultUid = 1000", ""), "error: there is an oobe.command, and no oobe.defaultUid"),
    ("uid is no number", conf("= 1000", "= ada"), "error: oobe.defaultUid is 'ada'"),
    ("uid is another", conf("= 1000", "= 1234"), "warning: oobe.defaultUid is 1234, not 1000"),
    ("no name", conf("defaultName = Acme", ""), "error: there is no oobe.defaultName"),
    ("no icon", conf("icon = /usr/lib/wsl/acme.ico", ""), "warning: there is no shortcut.icon"),
    ("icon is missing", without("usr/lib/wsl/acme.ico"), "error: shortcut.icon names /usr/lib/wsl/acme.ico, which"),
    ("icon is a PNG", put("usr/lib/wsl/acme.ico", b"\x89PNG"), "error: /usr/lib/wsl/acme.ico is no file in the format"),
    (
        "icon is too large",
        put("usr/lib/wsl/acme.ico", b"\0\0\1\0" + bytes(10 << 20)),
        "error: /usr/lib/wsl/acme.ico has 10485764 bytes, and may have 10485760",
    ),
    ("terminal is missing", without("usr/lib/wsl/terminal.json"), "error: windowsterminal.profileTemplate names"),
    ("terminal is no JSON", put("usr/lib/wsl/terminal.json", "{"), "error: /usr/lib/wsl/terminal.json is no JSON"),
    ("terminal has no profiles", put("usr/lib/wsl/terminal.json", "[]"), "error: /usr/lib/wsl/terminal.json has no"),
    ("resolv.conf", put("etc/resolv.conf", "->/run/x"), "error: /etc/resolv.conf is there"),
    ("no root", put("etc/passwd", "ada:x:5:5::/:/bin/sh\n"), "error: the users with the number 0 are none"),
    (
        "two roots",
        put("etc/passwd", "root:x:0:0::/:\ntoor:x:0:0::/:\n"),
        "error: the users with the number 0 are root, ",
    ),
    ("one number twice", put("etc/passwd", "root:x:0:0::/:\na:x:5:5::/:\nb:x:5:5::/:\n"), "error: /etc/passwd has the"),
    ("a bad line", put("etc/passwd", "root:x:0:0::/:\nnonsense\n"), "error: /etc/passwd has a line that names no user"),
    ("the uid is taken", put("etc/passwd", "root:x:0:0::/:\na:x:1000:5::/:\n"), "warning: /etc/passwd has a user 1000"),
    ("a hash", put("etc/shadow", "root:$y$j9T$abc:1::::::\n", mode=0o640), "error: /etc/shadow has a hash of root's"),
    ("an old hash", put("etc/shadow", "root:ab1WXYZcd3456:1::::::\n", mode=0o640), "error: /etc/shadow has a hash"),
    ("an empty password", put("etc/shadow", "root::1::::::\n", mode=0o640), "warning: root has an empty password"),
    ("shadow is open", put("etc/shadow", "root:*:1::::::\n"), "warning: /etc/shadow has the mode 0644"),
    ("a kernel", put("boot/vmlinuz-6.12.0-cloud-amd64", b"x"), "error: /boot/vmlinuz-6.12.0-cloud-amd64 is a kernel"),
    ("a link to a kernel", put("vmlinuz", "->boot/x"), "error: /vmlinuz is a kernel or an initramfs"),
    ("an initramfs", put("boot/initrd.img-6.12", b"x"), "error: /boot/initrd.img-6.12 is a kernel or an initramfs"),
    ("a kernel with modules", put("usr/lib/modules/6.1/vmlinuz", b"x"), "error: /usr/lib/modules/6.1/vmlinuz is a"),
    ("systemd is off", put("etc/wsl.conf", "[boot]\nsystemd = false\n"), "warning: /etc/wsl.conf has no boot.systemd"),
    (
        "systemd is maybe",
        put("etc/wsl.conf", "[boot]\nsystemd = yes\n"),
        "error: boot.systemd of /etc/wsl.conf is 'yes'",
    ),
    (
        "systemd is gone",
        without("usr/lib/systemd/systemd"),
        "error: /etc/wsl.conf says boot.systemd=true, and /sbin/init",
    ),
    ("no init", without("usr/bin/init"), "error: /etc/wsl.conf says boot.systemd=true, and /sbin/init leads to no"),
    ("init is a script", put("usr/bin/init", "#!/bin/sh\n", mode=0o755), "error: /etc/wsl.conf says boot.systemd=true"),
    ("no bash", without("usr/bin/bash"), "error: /bin/bash leads to no program"),
    ("sh leads in a circle", put("usr/bin/dash", "->sh"), "error: /bin/sh leads to no program"),
    (
        "two architectures",
        put("usr/bin/bash", elf(183), mode=0o755),
        "error: programs are of more than one architecture",
    ),
    ("owners by name", put("etc/x", "x", name="ada"), "warning: owners are there by name too"),
    ("a way out", put("../etc/x", "x"), "error: ../etc/x leads out of the archive"),
    ("its tmp.mount", pull(UNITS, "local-fs.target.wants", "tmp.mount"), "error: /usr/lib/systemd/system/local-fs.tar"),
    (
        "a user's unit",
        pull("usr/lib/systemd/user", "basic.target.wants", "systemd-tmpfiles-setup.service"),
        "error: /usr",
    ),
    (
        "required",
        pull("etc/systemd/system", "a.target.requires", "systemd-networkd.service"),
        "error: /etc/systemd/sys",
    ),
]


@pytest.mark.parametrize(("change", "said"), [case[1:] for case in BROKEN], ids=[case[0] for case in BROKEN])
def test_a_broken_rule_is_told(change: Callable[[Tree], None], said: str, tmp_path: Path) -> None:
    tree = sound_tree()
    change(tree)
    path = tree.write(tmp_path / "broken.wsl")
    found = findings(path)
    assert any(one.startswith(said) for one in found), found
    assert check_wsl(path).ok == all(one.startswith("warning: ") for one in found)


@pytest.mark.parametrize("unit", HARMFUL)
def test_each_unit_that_does_harm_is_found_and_a_mask_or_an_empty_file_helps(unit: str, tmp_path: Path) -> None:
    tree = sound_tree()
    pull(UNITS, "multi-user.target.wants", unit)(tree)
    assert any(f"wants/{unit}: this unit does harm" in one for one in findings(tree.write(tmp_path / "a.wsl")))
    tree.put(f"etc/systemd/system/{unit}", "")
    assert findings(tree.write(tmp_path / "b.wsl")) == []
    tree.put(f"etc/systemd/system/{unit}", "->/dev/null")
    assert findings(tree.write(tmp_path / "c.wsl")) == []
    del tree.entries[f"etc/systemd/system/{unit}"], tree.entries[f"{UNITS}/{unit}"]
    assert findings(tree.write(tmp_path / "d.wsl")) == [], "a link to a unit that is not there starts nothing"


def test_a_folder_around_the_root_is_told(tmp_path: Path) -> None:
    found = findings(sound_tree().write(tmp_path / "a.wsl", prefix="rootfs/"))
    assert "error: the top of the archive is not the root of the system: it has rootfs" in found


@pytest.mark.parametrize(("pack", "name"), [(lzma.compress, "xz"), (bz2.compress, "bzip2"), (bytes, "none")])
def test_other_compression_is_advised_against(pack: Callable[[bytes], bytes], name: str, tmp_path: Path) -> None:
    path = tmp_path / "other.wsl"
    path.write_bytes(pack(sound_tree().tar()))
    assert findings(path) == [f"warning: the tar is compressed by {name}: older WSL takes gzip alone"]


@pytest.mark.parametrize("content", [b"", b"MZ no tar", b"\x28\xb5\x2f\xfd frames of zstd"])
def test_what_is_no_wsl_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign.wsl"
    path.write_bytes(content)
    with pytest.raises(DefinitionError) as caught:
        check_wsl(path)
    assert "gzip" in (caught.value.resolution or "")


def test_a_file_that_is_cut_off_or_damaged_is_refused(tmp_path: Path) -> None:
    tree = sound_tree()
    tree.put("usr/share/noise", bytes((at * at) % 251 for at in range(200_000)))
    whole = tree.write(tmp_path / "whole.wsl").read_bytes()
    path = tmp_path / "bad.wsl"
    for length in (len(whole) - 4, len(whole) // 2, 20):
        path.write_bytes(whole[:length])
        with pytest.raises(IntegrityError, match="cut off or damaged"):
            check_wsl(path)
    path.write_bytes(whole[:-6] + bytes([whole[-6] ^ 1]) + whole[-5:])
    with pytest.raises(IntegrityError, match="cut off or damaged"):
        check_wsl(path)
    path.write_bytes(gzip.compress(b"ustar nonsense" * 400))
    with pytest.raises(IntegrityError):
        check_wsl(path)


def test_devices_and_hard_links_are_no_trouble(tmp_path: Path) -> None:
    tree = sound_tree()
    tree.put("dev/null", kind=tarfile.CHRTYPE)
    del tree.entries["usr/bin/bash"]
    tree.put("usr/bin/bash-first", elf(), mode=0o755)
    path = tree.write(tmp_path / "plain.wsl")
    data = gzip.decompress(path.read_bytes()).rstrip(b"\0")
    link = tarfile.TarInfo("usr/bin/bash")
    link.type, link.linkname, link.mode = tarfile.LNKTYPE, "usr/bin/bash-first", 0o755
    blocks = data + bytes(-len(data) % 512) + link.tobuf() + bytes(1024)
    path.write_bytes(gzip.compress(blocks))
    assert findings(path) == []
