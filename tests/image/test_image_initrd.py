# SPDX-License-Identifier: Apache-2.0
"""What is staged for an initrd comes from the tree, whatever its links say."""

from __future__ import annotations

from pathlib import Path

from zaffre.image.initrd import InitrdSpec, stage_initrd


def test_a_link_in_the_tree_does_not_bring_the_hosts_users(tmp_path: Path) -> None:
    secret = tmp_path / "passwd-of-the-host"
    secret.write_text("somebody:x:1000:1000::/home/somebody:/bin/sh\n")
    root = tmp_path / "root"
    for folder in ("etc", "usr/lib/systemd/system", "usr/lib/modules/6.12.0"):
        (root / folder).mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=x\n")
    (root / "etc/passwd").symlink_to(secret)
    (root / "etc/group").symlink_to("/etc/group-of-the-tree")
    (root / "etc/group-of-the-tree").write_text("root:x:0:\n")
    for name in ("modules.dep", "modules.softdep", "modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (root / "usr/lib/modules/6.12.0" / name).touch()
    staging = tmp_path / "staging"
    staging.mkdir()
    stage_initrd(root, staging, InitrdSpec((), (), (), (), (), "amd64"))
    assert not (staging / "etc/passwd").exists()
    assert (staging / "etc/group").read_text() == "root:x:0:\n"
    assert (staging / "etc/initrd-release").read_text() == "ID=x\n"
