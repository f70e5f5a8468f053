# SPDX-License-Identifier: Apache-2.0
"""A tree goes into its canonical archive and comes back the same; equal trees give equal bytes."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from zaffre.errors import IntegrityError
from zaffre.tree.restore import extract_root
from zaffre.tree.tarball import pack, scan
from zaffre.tree.treecompare import Explained, compare_trees, unexplained

EPOCH = 1_700_000_000
LONG = "usr/share/" + "a-long-name/" * 12 + "file"


def make(root: Path) -> Path:
    for folder in ("usr/bin", "etc", Path(LONG).parent, "usr/a", "usr/a-b"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for path, content in {
        "usr/bin/tool": b"x" * 700,
        "etc/größe": b"",
        LONG: b"deep",
        "usr/a/one": b"1",
        "usr/a-b/two": b"2" * 512,
    }.items():
        (root / path).write_bytes(content)
    (root / "usr/bin/tool").chmod(0o4755)
    (root / "usr/a").chmod(0o2775)
    (root / "usr/bin/again").hardlink_to(root / "usr/bin/tool")
    (root / "usr/link").symlink_to("../" * 2 + "x" * 120)
    (root / "lib").symlink_to("usr/lib")
    for path in sorted(root.rglob("*"), reverse=True):
        os.utime(path, (EPOCH, EPOCH), follow_symlinks=False)
    os.utime(root, (EPOCH, EPOCH))
    return root


def packed(root: Path, target: Path) -> Path:
    with target.open("wb") as out:
        pack(root, scan(root), out, mtime=lambda node: int(node.status.st_mtime))
    return target


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "tree").mkdir(mode=0o755)
    return make(tmp_path / "tree")


def test_a_tree_comes_back_as_it_was(tree: Path, tmp_path: Path) -> None:
    extract_root(packed(tree, tmp_path / "a.tar"), tmp_path / "back")
    assert compare_trees(tree, tmp_path / "back", times=True) == []
    assert (tmp_path / "back/usr/bin/again").samefile(tmp_path / "back/usr/bin/tool")
    assert packed(tmp_path / "back", tmp_path / "b.tar").read_bytes() == (tmp_path / "a.tar").read_bytes()


def test_extended_attributes_come_back_and_a_hosts_own_do_not(tree: Path, tmp_path: Path) -> None:
    try:
        os.setxattr(tree / "usr/bin/tool", "user.note", bytes(range(256)))
        os.setxattr(tree / "usr/bin/tool", "trusted.host", b"x")
    except OSError:
        pytest.skip("this file system has no such attributes, or we may not set them")
    extract_root(packed(tree, tmp_path / "a.tar"), tmp_path / "back")
    assert os.getxattr(tmp_path / "back/usr/bin/tool", "user.note") == bytes(range(256))
    assert "trusted.host" not in os.listxattr(tmp_path / "back/usr/bin/tool")


def test_tarfile_reads_the_archive_the_same(tree: Path, tmp_path: Path) -> None:
    with tarfile.open(packed(tree, tmp_path / "a.tar")) as archive:
        names = {info.name.removeprefix("./") for info in archive}
        info = archive.getmember("usr/bin/again")
    assert names == {node.path or "." for node in scan(tree)}
    assert info.isreg()
    assert info.mode == 0o4755


def test_what_is_skipped_is_not_written_with_all_below_it(tree: Path, tmp_path: Path) -> None:
    archive = packed(tree, tmp_path / "a.tar")
    extract_root(archive, tmp_path / "back", skip=lambda path: path == "/usr/a")
    assert not (tmp_path / "back/usr/a").exists()
    assert (tmp_path / "back/usr/a-b/two").exists()


def test_a_hard_linked_file_survives_its_first_path(tree: Path, tmp_path: Path) -> None:
    (tree / "usr/bin/third").hardlink_to(tree / "usr/bin/tool")
    archive = packed(tree, tmp_path / "a.tar")
    extract_root(archive, tmp_path / "back", skip=lambda path: path == "/usr/bin/again")
    assert (tmp_path / "back/usr/bin/third").read_bytes() == b"x" * 700
    assert (tmp_path / "back/usr/bin/third").samefile(tmp_path / "back/usr/bin/tool")


def test_a_pipe_has_no_place_in_a_tree(tree: Path, tmp_path: Path) -> None:
    os.mkfifo(tree / "pipe")
    with pytest.raises(IntegrityError, match="/pipe"):
        packed(tree, tmp_path / "a.tar")


def test_a_damaged_archive_is_refused(tree: Path, tmp_path: Path) -> None:
    archive = packed(tree, tmp_path / "a.tar")
    archive.write_bytes(archive.read_bytes()[:5000])
    with pytest.raises(IntegrityError, match="damaged"):
        extract_root(archive, tmp_path / "back")


def test_every_kind_of_difference_is_named(tree: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    extract_root(packed(tree, tmp_path / "a.tar"), other)
    (other / "etc/größe").write_bytes(b"1")
    (other / "usr/a-b/two").chmod(0o600)
    (other / "usr/a/one").unlink()
    (other / "usr/a/new").touch()
    (other / "lib").unlink()
    (other / "lib").symlink_to("usr/lib64")
    (other / "usr/link").unlink()
    (other / "usr/link").touch()
    assert [str(one) for one in compare_trees(tree, other)] == [
        "/etc/größe: content (0 bytes, 1)",
        "/lib: link to usr/lib, usr/lib64",
        "/usr/a-b/two: mode 0644, 0600",
        "/usr/a/new: only in the second",
        "/usr/a/one: only in the first",
        "/usr/link: a link, a file",
    ]
    explained = (Explained(("/usr/**",), "a test"), Explained(("/lib",), "a test"))
    assert [one.path for one in unexplained(compare_trees(tree, other), explained)] == ["/etc/größe"]
