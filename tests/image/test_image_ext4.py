# SPDX-License-Identifier: Apache-2.0
"""A root that is made small has what a large one has, since growing does not change it."""

from __future__ import annotations

import os
import re
import uuid
from pathlib import Path

import pytest

from zaffre.digest import sha256_file
from zaffre.image.ext4 import make_ext4
from zaffre.image.writable import mark_updated
from zaffre.sandbox import Mount, Sandbox

pytestmark = pytest.mark.tools
SEED = uuid.UUID("8a3c5b1e-0000-4000-8000-000000000001")


@pytest.mark.parametrize("size", [96 << 20, 640 << 20])
def test_block_journal_and_inodes_do_not_follow_the_size(tmp_path: Path, tools_sandbox: Sandbox, size: int) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content\n")
    made = [tmp_path / "first.ext4", tmp_path / "second.ext4"]
    for target in made:
        make_ext4(tree, target, size=size, label="root", seed=SEED, epoch=1_700_000_000, sandbox=tools_sandbox)
    assert sha256_file(made[0]) == sha256_file(made[1])
    shown = tools_sandbox.run(["dumpe2fs", "-h", "/job/fs"], mounts=[Mount(made[0], "/job/fs")], timeout=60).stdout
    found = dict(re.findall(r"^([A-Z][\w ]+): +(.+)$", shown.decode(), re.MULTILINE))
    assert found["Block size"] == "4096"
    assert found["Total journal size"] == "32M"
    assert size / int(found["Inode count"]) == pytest.approx(16384, rel=0.1)
    assert int(found["Reserved GDT blocks"]) >= 120, "it can grow to a tebibyte in place"


def test_what_follows_from_usr_is_up_to_date(tmp_path: Path) -> None:
    """ConditionNeedsUpdate= (systemd.unit(5)) asks whether /usr is newer than the stamp."""
    for name in ("usr", "etc", "var"):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1_700_000_000, 1_700_000_000))
    before = os.umask(0o077)
    try:
        mark_updated(tmp_path)
    finally:
        os.umask(before)
    usr = int((tmp_path / "usr").stat().st_mtime)
    for name in ("etc", "var"):
        stamp = tmp_path / name / ".updated"
        assert stamp.stat().st_mtime == usr
        assert stamp.stat().st_mode & 0o777 == 0o644, "whatever the umask of who builds"
        assert (tmp_path / name).stat().st_mtime == 1_700_000_000, "the folder keeps its time"
        assert stamp.read_text() == f"TIMESTAMP_NSEC={usr}000000000\n"
