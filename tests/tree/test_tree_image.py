# SPDX-License-Identifier: Apache-2.0
"""What an image says of itself, its units and its content, without any tool."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from zaffre.definition import Image, Units
from zaffre.definition.distribution import Identity
from zaffre.errors import DefinitionError
from zaffre.sandbox import Sandbox
from zaffre.tree.customise import make_users, settings_files
from zaffre.tree.identity import DEBUG_NOTICE, os_release
from zaffre.tree.inventory import _capabilities, inventory_of
from zaffre.tree.kernelsettings import kernel_settings
from zaffre.tree.rootfs import make_link, write_text
from zaffre.tree.units import apply_units, unit_states

IDENTITY = Identity(id="own", name='My "Linux" $', version="3", home_url="https://linux.example/")


def image(**settings: object) -> Image:
    return Image.model_validate({"name": "host", "kind": "host", "upstream": "debian", **settings})


def test_os_release_is_ours_and_says_where_it_comes_from() -> None:
    text = os_release(
        IDENTITY,
        image(os_release={"SUPPORT_END": "2030-01-01"}),
        version="own.20300101.1",
        architecture="amd64",
        base='ID=debian\nVERSION_CODENAME="trixie"\n',
    )
    lines = text.splitlines()
    for line in (
        "ID=own",
        "ID_LIKE=debian",
        "VERSION_ID=3",
        "IMAGE_ID=own-host",
        "IMAGE_VERSION=own.20300101.1",
        "ARCHITECTURE=x86-64",
        "DEBIAN_CODENAME=trixie",
        'HOME_URL="https://linux.example/"',
        r'NAME="My \"Linux\" \$"',
        "SUPPORT_END=2030-01-01",
    ):
        assert line in lines
    assert "DEBUG" not in text


def test_a_debug_build_says_so_and_opens_a_shell() -> None:
    text = os_release(IDENTITY, image(debug=True), version="1", architecture="arm64", base="")
    assert f'VARIANT="{DEBUG_NOTICE}"' in text.splitlines()
    assert "usr/lib/systemd/system/zaffre-debug-shell.service" in settings_files(image(debug=True))
    assert settings_files(image()) == {}


def test_settings_become_files() -> None:
    files = settings_files(
        image(
            kind="server",
            sysctl={"net.ipv4.ip_forward": 1, "kernel.x": "a b"},
            kernel={"load": ["overlay"]},
            tmpfiles={"lines": ["d /var/x"]},
            units={"enable": ["a.service"], "mask": ["b.timer"]},
        )
    )
    assert files == {
        "usr/lib/sysctl.d/99-zaffre.conf": "net.ipv4.ip_forward = 1\nkernel.x = a b\n",
        "usr/lib/modules-load.d/zaffre.conf": "overlay\n",
        "usr/lib/tmpfiles.d/zaffre.conf": "d /var/x\n",
        "usr/lib/systemd/system-preset/00-zaffre.preset": "enable a.service\ndisable b.timer\n",
    }


def test_modules_of_a_host_are_loaded_by_its_initrd() -> None:
    assert settings_files(image(kernel={"load": ["overlay"]})) == {}


@pytest.mark.parametrize(
    ("settings", "where"),
    [
        ({"enable": ["containred.service"]}, "units.enable[0]"),
        ({"mask": ["none.timer"]}, "units.mask[0]"),
        ({"default_target": "graphic.target"}, "units.default_target"),
    ],
)
def test_a_unit_that_is_not_there_is_named_with_others(tmp_path: Path, settings: dict, where: str) -> None:
    write_text(tmp_path, "usr/lib/systemd/system/containerd.service", "")
    write_text(tmp_path, "usr/lib/systemd/system/graphical.target", "")
    write_text(tmp_path, "usr/lib/systemd/system/multi-user.target", "")
    with pytest.raises(DefinitionError, match="no unit") as caught:
        apply_units(tmp_path, Units.model_validate(settings), sandbox=Sandbox(None))
    assert caught.value.where == where
    assert caught.value.resolution


def test_a_users_number_must_be_free(tmp_path: Path) -> None:
    write_text(tmp_path, "etc/passwd", "other:x:500:500::/:/bin/false\n")
    users = image(users=[{"name": "svc", "uid": 500}]).users
    with pytest.raises(DefinitionError, match="uid 500 of svc belongs to other") as caught:
        make_users(tmp_path, users, epoch=0, sandbox=Sandbox(None))
    assert caught.value.where == "users[0].uid"


def test_the_inventory_counts_by_package_folder_and_danger(tmp_path: Path) -> None:
    write_text(tmp_path, "usr/bin/tool", "12345", mode=0o755)
    write_text(tmp_path, "usr/bin/su", "1", mode=0o4755)
    write_text(tmp_path, "usr/lib/lib.so", "123")
    write_text(tmp_path, "etc/own", "12")
    make_link(tmp_path, "lib", "usr/lib")
    (tmp_path / "usr/bin/tool2").hardlink_to(tmp_path / "usr/bin/tool")
    database = "usr/lib/sysimage/dpkg"
    stanza = "Package: {}\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n"
    write_text(tmp_path, f"{database}/status", stanza.format("tool") + "\n" + stanza.format("lib") + "\n")
    write_text(tmp_path, f"{database}/info/tool.list", "/.\n/usr/bin\n/usr/bin/tool\n/usr/bin/su\n/usr/bin/pruned\n")
    write_text(tmp_path, f"{database}/info/lib:amd64.list", "/.\n/lib\n/lib/lib.so\n")
    units = "usr/lib/systemd/system"
    write_text(tmp_path, f"{units}/a.socket", "[Socket]\nListenStream=22\nListenDatagram=[::]:53\n")
    write_text(tmp_path, f"{units}/b.socket", "[Socket]\nListenStream=/run/b\n")
    make_link(tmp_path, f"{units}/sockets.target.wants/a.socket", "../a.socket")
    make_link(tmp_path, "etc/systemd/system/sockets.target.wants/b.socket", "/usr/lib/systemd/system/b.socket")
    make_link(tmp_path, "etc/systemd/system/b.socket", "/dev/null")
    found = inventory_of(tmp_path)
    assert [(one.name, one.files, one.bytes) for one in found.packages] == [("tool", 2, 6), ("lib", 1, 3)]
    folders = {one.path: (one.files, one.bytes) for one in found.folders}
    assert folders["/usr/bin"] == (2, 6)
    assert folders["/etc"] == (1, 2)
    assert found.bytes == sum(one.bytes for one in found.folders)
    assert found.bytes == found.unpackaged.bytes + sum(one.bytes for one in found.packages)
    assert [(one.path, one.mode) for one in found.privileged] == [("/usr/bin/su", "4755")]
    assert [(one.name, one.listens, one.enabled) for one in found.listening] == [
        ("a.socket", ("ListenStream=22", "ListenDatagram=[::]:53"), True),
    ]
    make_link(tmp_path, f"{units}/multi-user.target.wants/getty@tty1.service", "../getty@.service")
    assert unit_states(tmp_path) == {"a.socket": "enabled", "b.socket": "masked", "getty@tty1.service": "enabled"}


def test_kernel_settings_are_those_of_the_last_word(tmp_path: Path) -> None:
    write_text(tmp_path, "usr/lib/sysctl.d/10-a.conf", "# kernel.x = 0\nkernel.a = 1\nkernel.b=2\n;kernel.c = 3\n")
    write_text(tmp_path, "usr/lib/sysctl.d/20-b.conf", "-kernel.b = 5\n-kernel.c\nnet/ipv4/conf/eth0.1/forwarding=1\n")
    write_text(tmp_path, "etc/sysctl.d/10-a.conf", "kernel.a = 9\nnet.ipv4.conf.*.rp_filter = 2\n")
    write_text(tmp_path, "usr/lib/sysctl.d/README", "kernel.d = 1\n")
    assert kernel_settings(tmp_path) == {
        "kernel.a": "9",
        "kernel.b": "5",
        "net.ipv4.conf.*.rp_filter": "2",
        "net.ipv4.conf.eth0/1.forwarding": "1",
    }


def test_capabilities_are_read_as_the_kernel_stores_them() -> None:

    raw = 1 << 13 | 1 << 10
    assert _capabilities(struct.pack("<5I", 0x02000001, raw, 0, 1 << 1, 0)) == (10, 13, 33)
