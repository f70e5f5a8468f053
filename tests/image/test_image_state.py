# SPDX-License-Identifier: Apache-2.0
"""The generated units that make /etc an overlay and /var a partition."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from zaffre.image.state import escape_path, state_files

UNITS = "usr/lib/systemd/system"


def test_each_persistent_path_gets_a_copy_and_a_bind_mount() -> None:
    files = state_files(persistent=["/etc/machine-id", "/etc/ssh/keys"], var_min_bytes=1 << 29).initrd
    unit = files[f"{UNITS}/sysroot-etc-ssh-keys.mount"]
    assert "What=/sysroot/var/lib/zaffre/etc/ssh/keys\n" in unit
    assert "Where=/sysroot/etc/ssh/keys\n" in unit
    persist = files["usr/lib/zaffre/persist.conf"].splitlines()
    assert persist.index("d /sysroot/var/lib/zaffre/etc/ssh 0755") < persist.index(
        "C /sysroot/var/lib/zaffre/etc/ssh/keys - - - - /sysroot/etc/ssh/keys"
    )
    assert files[f"{UNITS}/initrd-fs.target.requires/sysroot-etc-ssh-keys.mount"] == "->../sysroot-etc-ssh-keys.mount"


def test_a_machine_id_is_made_only_where_it_is_kept() -> None:
    kept = state_files(persistent=["/etc/machine-id"], var_min_bytes=1 << 29).initrd
    lost = state_files(persistent=[], var_min_bytes=1 << 29).initrd
    assert f"{UNITS}/zaffre-machine-id.service" in kept
    assert f"{UNITS}/zaffre-machine-id.service" not in lost
    assert "sysroot-etc-machine\\x2did.mount" in kept[f"{UNITS}/zaffre-machine-id.service"]


def test_root_and_initrd_agree_on_var() -> None:
    files = state_files(persistent=[], var_min_bytes=123 << 20)
    name = "usr/lib/repart.d/50-var.conf"
    assert files.initrd[name] == files.root[name]
    assert f"SizeMinBytes={123 << 20}\n" in files.root[name]


@pytest.mark.skipif(shutil.which("systemd-escape") is None, reason="systemd-escape is the oracle")
@pytest.mark.parametrize("path", ["/", "/etc", "/etc/machine-id", "/a b/c-d/.e/f.g", "/x/ü", "/a//b/", "/_:x"])
def test_escape_path_agrees_with_systemd(path: str) -> None:
    oracle = subprocess.run(["systemd-escape", "--path", path], capture_output=True, text=True, check=True)
    assert escape_path("/".join(part for part in path.split("/") if part)) == oracle.stdout.strip()
