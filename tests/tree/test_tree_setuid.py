# SPDX-License-Identifier: Apache-2.0
"""The last look at files that give their caller rights, when all scripts have run."""

from __future__ import annotations

import os
import stat
import struct
from pathlib import Path

import pytest

from zaffre.errors import DefinitionError
from zaffre.tree.policy import SetuidPolicy
from zaffre.tree.root import apply_setuid
from zaffre.tree.tarball import scan

CAPABILITY = struct.pack("<5I", 0x02000001, 1 << 10, 0, 0, 0)
"""Version 2, effective: CAP_NET_BIND_SERVICE (capability.h, struct vfs_cap_data)."""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One setuid file with a capability, under three names."""
    first = tmp_path / "a"
    first.write_bytes(b"x")
    for name in ("b", "c"):
        (tmp_path / name).hardlink_to(first)
    try:
        os.setxattr(first, "security.capability", CAPABILITY)
    except PermissionError:
        pytest.skip("only root can give a file capabilities")
    first.chmod(0o4755)
    return tmp_path


@pytest.mark.parametrize("stripped", ["/a", "/b", "/c", "/*"])
def test_a_file_that_is_stripped_by_one_name_is_so_by_all(root: Path, stripped: str) -> None:
    nodes = apply_setuid(root, scan(root), SetuidPolicy(allow=("/*",), strip=(stripped,)))
    for told in (nodes, scan(root)):
        assert [(node.path, stat.S_IMODE(node.status.st_mode), node.xattrs) for node in told if node.path] == [
            (name, 0o755, ()) for name in "abc"
        ]


def test_a_name_that_is_not_declared_counts_though_others_are(root: Path) -> None:
    with pytest.raises(DefinitionError, match=r"1 file\(s\)") as caught:
        apply_setuid(root, scan(root), SetuidPolicy(allow=("/a",), strip=("/b",)))
    assert "/c" in str(caught.value.details) + str(caught.value.resolution)


def test_a_file_that_is_allowed_by_all_its_names_stays(root: Path) -> None:
    before = scan(root)
    assert apply_setuid(root, before, SetuidPolicy(allow=("/*",))) == before
    assert (root / "a").stat().st_mode & stat.S_ISUID
