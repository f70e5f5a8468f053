# SPDX-License-Identifier: Apache-2.0
"""The generated units that make /etc an overlay and /var a partition."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from zaffre.definition import Image, Kind, load_distribution, reference_root
from zaffre.definition.image import Disk, Etc, Initrd, Kernel
from zaffre.digest import sha256_bytes
from zaffre.image.serverstate import server_initrd_files
from zaffre.image.state import escape_path, state_files, state_modules, state_programs

UNITS = "usr/lib/systemd/system"


def host(*persistent: str, var_min: str = "512M", readahead: tuple[str, ...] = (), load: tuple[str, ...] = ()) -> Image:
    return Image(
        name="host",
        kind=Kind.HOST,
        upstream="debian",
        etc=Etc(persistent=persistent),
        disk=Disk(var_min=var_min),
        initrd=Initrd(readahead=readahead),
        kernel=Kernel(load=load),
    )


def test_each_persistent_path_gets_a_copy_and_a_bind_mount() -> None:
    files = state_files(host("/etc/machine-id", "/etc/ssh/keys")).initrd
    unit = files[f"{UNITS}/sysroot-etc-ssh-keys.mount"]
    assert "What=/sysroot/var/lib/zaffre/etc/ssh/keys\n" in unit
    assert "Where=/sysroot/etc/ssh/keys\n" in unit
    persist = files["usr/lib/zaffre/persist.conf"].splitlines()
    assert persist.index("d /sysroot/var/lib/zaffre/etc/ssh 0755") < persist.index(
        "C /sysroot/var/lib/zaffre/etc/ssh/keys - - - - /sysroot/etc/ssh/keys"
    )
    assert files[f"{UNITS}/initrd-fs.target.requires/sysroot-etc-ssh-keys.mount"] == "->../sysroot-etc-ssh-keys.mount"


def test_the_copy_is_passed_over_only_when_every_path_is_kept() -> None:
    unit = state_files(host("/etc/machine-id", "/etc/ssh/keys")).initrd[f"{UNITS}/zaffre-persist.service"]
    assert [line for line in unit.splitlines() if line.startswith("Condition")] == [
        "ConditionPathExists=|!/sysroot/var/lib/zaffre/etc/machine-id",
        "ConditionPathExists=|!/sysroot/var/lib/zaffre/etc/ssh/keys",
    ]


def test_files_are_read_ahead_from_the_root_and_only_on_request() -> None:
    name = f"{UNITS}/zaffre-readahead.service"
    files = state_files(host(readahead=("/usr/bin/a", "/usr/bin/b")))
    assert "WorkingDirectory=/sysroot\nExecStart=-cat $MANAGER usr/bin/a usr/bin/b\n" in files.initrd[name]
    # What is not known to the manager at its end would be taken for one that failed.
    assert files.root[name] == files.initrd[name]
    assert name not in state_files(host()).initrd
    assert name not in state_files(host()).root


@pytest.mark.parametrize("name", ["container-host", "server"])
def test_sockets_of_the_initrd_end_before_the_root_takes_over(name: str) -> None:
    image = load_distribution(reference_root()).image(name)
    files = server_initrd_files() if name == "server" else state_files(image).initrd
    sockets = [unit for unit in image.initrd.units if unit.endswith(".socket")]
    assert sockets
    for unit in sockets:
        lines = files[f"{UNITS}/{unit}.d/10-zaffre.conf"].splitlines()
        assert {f"{word}=initrd-switch-root.target" for word in ("Conflicts", "Before")} <= set(lines)


def test_modules_of_the_root_are_loaded_in_the_initrd_with_what_loads_them() -> None:
    image = host(load=("button", "br_netfilter"))
    files = state_files(image).initrd
    assert "ExecStart=modprobe --all -- button br_netfilter\n" in files[f"{UNITS}/zaffre-modules.service"]
    assert files[f"{UNITS}/initrd.target.wants/zaffre-modules.service"] == "->../zaffre-modules.service"
    assert state_modules(image) == ("button", "br_netfilter")
    assert state_programs(image) == ("/usr/sbin/modprobe",)
    assert f"{UNITS}/zaffre-modules.service" not in state_files(host()).initrd
    assert not state_programs(host())


def test_the_rules_for_own_partitions_name_the_image() -> None:
    rules = state_files(host()).root["usr/lib/udev/rules.d/59-zaffre-disks.rules"]
    assert 'ENV{PARTNAME}!="host_*|_empty|esp|var", GOTO="zaffre_disks_end"\n' in rules


def test_root_and_initrd_agree_on_var() -> None:
    files = state_files(host(var_min="123M"))
    name = "usr/lib/repart.d/50-var.conf"
    assert files.initrd[name] == files.root[name]
    assert f"SizeMinBytes={123 << 20}\n" in files.root[name]


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="systemd-escape is the oracle")
@pytest.mark.parametrize("path", ["/", "/etc", "/etc/machine-id", "/a b/c-d/.e/f.g", "/x/ü", "/a//b/", "/_:x"])
def test_escape_path_agrees_with_systemd(path: str) -> None:
    oracle = subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True, check=True)
    assert escape_path("/".join(part for part in path.split("/") if part)) == oracle.stdout.strip()


def test_var_is_labelled_at_the_first_boot_and_when_the_labels_are_others() -> None:
    plain, labelled = (
        state_files(host("/etc/machine-id")),
        state_files(host("/etc/machine-id"), labels=sha256_bytes(b"1")),
    )
    stamp = f"/var/lib/zaffre/labels-{sha256_bytes(b'1')[:16]}"
    unit = labelled.initrd[f"{UNITS}/zaffre-persist.service"]
    assert f"ConditionPathExists=|!/sysroot{stamp}\n" in unit
    persist = labelled.initrd["usr/lib/zaffre/persist.conf"].splitlines()
    assert "f /run/systemd/relabel-extra.d/zaffre.relabel 0644 - - - /var" in persist
    # The stamp is the root's to write, which runs when all is labelled; that of another version goes before it.
    assert labelled.root["usr/lib/tmpfiles.d/zaffre-labels.conf"] == f"r! /var/lib/zaffre/labels-*\nf {stamp} 0644\n"
    assert "label" not in "".join(plain.initrd.values()).replace("partlabel", "")
    assert not any("labels" in name for name in plain.root)
