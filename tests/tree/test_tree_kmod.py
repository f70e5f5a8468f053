# SPDX-License-Identifier: Apache-2.0
"""Kernels and their modules, wherever and however a distribution keeps them."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest
import zstandard

from zaffre.errors import DefinitionError
from zaffre.tree.kmod import KernelModules, kernel_image, plain_content, plain_name
from zaffre.tree.rootfs import make_link, write_bytes, write_text

CONTENT = b"\x7fELF a module" * 100


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.ko", CONTENT),
        ("a.ko.xz", lzma.compress(CONTENT)),
        ("a.ko.gz", gzip.compress(CONTENT, mtime=0)),
        ("a.ko.zst", zstandard.ZstdCompressor(write_content_size=False).compress(CONTENT)),
    ],
)
def test_a_module_is_the_same_in_every_compression(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert plain_name(f"kernel/fs/{name}") == "kernel/fs/a.ko"
    assert plain_content(tmp_path / name) == CONTENT


def test_other_files_keep_their_names() -> None:
    assert plain_name("usr/share/doc/x.xz") == "usr/share/doc/x.xz"


@pytest.mark.parametrize("suffix", ["", ".xz", ".zst"])
def test_modules_are_known_by_name(tmp_path: Path, suffix: str) -> None:
    base = "usr/lib/modules/6.12"
    write_text(tmp_path, f"{base}/modules.dep", f"kernel/dm-a.ko{suffix}: kernel/b.ko{suffix}\nkernel/b.ko{suffix}:\n")
    write_text(tmp_path, f"{base}/modules.softdep", "")
    write_text(tmp_path, f"{base}/modules.builtin", "kernel/c.ko\n")
    found = KernelModules.of_root(tmp_path)
    assert found.closure(["dm_a"], key="x", architecture="amd64") == {f"kernel/dm-a.ko{suffix}", f"kernel/b.ko{suffix}"}


def test_a_soft_dependency_may_be_a_name_that_modules_answer_to(tmp_path: Path) -> None:
    """As libcrc32c of a kernel that has its sums as modules, without which erofs cannot be loaded."""
    base = "usr/lib/modules/6.12"
    names = ("erofs", "libcrc32c", "crc32c-generic", "other")
    needs = {"erofs": "kernel/libcrc32c.ko"}
    write_text(tmp_path, f"{base}/modules.dep", "".join(f"kernel/{one}.ko: {needs.get(one, '')}\n" for one in names))
    write_text(tmp_path, f"{base}/modules.softdep", "softdep libcrc32c pre: crc32c absent\n")
    write_text(tmp_path, f"{base}/modules.alias", "# Aliases\nalias crc32c crc32c-generic\nalias pci:v*d* other\n")
    write_text(tmp_path, f"{base}/modules.builtin", "")
    found = KernelModules.of_root(tmp_path).closure(["erofs"], key="x", architecture="arm64")
    assert found == {f"kernel/{one}.ko" for one in ("erofs", "libcrc32c", "crc32c-generic")}


def test_a_module_of_one_architecture(tmp_path: Path) -> None:
    base = "usr/lib/modules/6.12"
    write_text(tmp_path, f"{base}/modules.dep", "kernel/a.ko:\n")
    for name in ("softdep", "builtin"):
        write_text(tmp_path, f"{base}/modules.{name}", "")
    modules = KernelModules.of_root(tmp_path)
    assert modules.closure(["a [arm64]", "b [amd64]"], key="x", architecture="arm64") == {"kernel/a.ko"}
    with pytest.raises(DefinitionError, match="has no module b"):
        modules.closure(["a [arm64]", "b [amd64]"], key="x", architecture="amd64")


@pytest.mark.parametrize("path", ["usr/lib/modules/6.12/vmlinuz", "boot/vmlinuz-6.12"])
def test_a_kernel_is_found_beside_its_modules_or_in_boot(tmp_path: Path, path: str) -> None:
    write_bytes(tmp_path, path, b"MZ")
    assert kernel_image(tmp_path, "6.12") == tmp_path / path


def test_a_link_to_a_kernel_stays_in_the_tree(tmp_path: Path) -> None:
    write_bytes(tmp_path, "boot/real", b"MZ")
    make_link(tmp_path, "boot/vmlinuz-6.12", "/boot/real")
    assert kernel_image(tmp_path, "6.12") == tmp_path / "boot/real"


def test_a_tree_without_a_kernel_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"no kernel 6\.12") as caught:
        kernel_image(tmp_path, "6.12")
    assert "/boot/vmlinuz-6.12" in (caught.value.details or "")
