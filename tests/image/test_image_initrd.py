# SPDX-License-Identifier: Apache-2.0
"""What is staged for an initrd comes from the tree, whatever its links say."""

from __future__ import annotations

from pathlib import Path

from zaffre.image.elf import LibraryFinder
from zaffre.image.initrd import InitrdSpec, stage_initrd, useless_for_initrd
from zaffre.image.state import MANAGER_FILES
from zaffre.tree import pack, scan

TRIPLET = "x86_64-linux-gnu"


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


def test_what_the_system_manager_loads_is_named_for_the_readahead(tmp_path: Path) -> None:
    root, staging = tmp_path / "root", tmp_path / "staging"
    for folder in ("etc", "usr/bin", "usr/lib/systemd/system", "usr/lib/modules/6.12.0"):
        (root / folder).mkdir(parents=True)
    staging.mkdir()
    (root / "etc/os-release").write_text("ID=x\n")
    for name in ("modules.dep", "modules.softdep", "modules.builtin", "modules.builtin.modinfo", "modules.order"):
        (root / "usr/lib/modules/6.12.0" / name).touch()
    (root / "usr/bin/init").touch()
    (root / "usr/lib/systemd/systemd").symlink_to("/usr/bin/init")
    stage_initrd(root, staging, InitrdSpec((), (), (), (), (), "amd64"))
    assert (staging / MANAGER_FILES).read_text() == "MANAGER=usr/bin/init\n"


def test_a_program_may_be_a_link_by_way_of_the_merged_usr(tmp_path: Path) -> None:
    # As Debian 12 has it: an absolute link, which leads nowhere on the building host.
    root = tmp_path / "root"
    for folder in ("usr/bin", "usr/lib/systemd"):
        (root / folder).mkdir(parents=True)
    (root / "bin").symlink_to("usr/bin")
    for name in ("zaffre-real", "zaffre-other"):
        (root / "usr/bin" / name).touch()
    program = "/usr/lib/systemd/zaffre-link"
    (root / program[1:]).symlink_to("/bin/zaffre-real")
    archive = tmp_path / "root.tar"
    with archive.open("wb") as file:
        pack(root, scan(root), file, mtime=lambda _: 0)
    useless = useless_for_initrd(archive, InitrdSpec((), (program,), (), (), (), "amd64"))
    assert [useless(f"/usr/bin/{name}") for name in ("zaffre-real", "zaffre-other")] == [False, True]
    assert LibraryFinder(root, TRIPLET).closure([program]) == ("/usr/bin/zaffre-real", program)
