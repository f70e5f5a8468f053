# SPDX-License-Identifier: Apache-2.0
"""Two builds from nothing are the same, and where two builds differ is said down to the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from support.lab import Lab
from zaffre.image.differences import differences
from zaffre.image.seal import Compression, make_erofs
from zaffre.image.system import LOADER_CONF
from zaffre.sandbox import Mount, Sandbox

pytestmark = pytest.mark.tools

EPOCH = 1_700_000_000


def test_a_host_is_bit_for_bit_the_same(lab: Lab) -> None:
    found = lab.json("reproduce", "container-host")
    assert found["reproducible"] is True
    assert found["differences"] == []
    assert {"image.raw", "root.erofs", "root.verity", "uki.efi"} <= found["artifacts"].keys()


@pytest.mark.long
@pytest.mark.parametrize("image", ["server", "wsl", "edge"])
def test_others_are_bit_for_bit_the_same(lab: Lab, image: str) -> None:
    assert lab.json("reproduce", image, check=False)["differences"] == []


def sealed(folder: Path, text: str, sandbox: Sandbox) -> None:
    tree = folder.with_name(f"{folder.name}-tree")
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/same").write_text("same")
    (tree / "etc/motd").write_text(text)
    folder.mkdir()
    make_erofs(tree, folder / "root.erofs", compression=Compression("", 4096), epoch=EPOCH, label="x", sandbox=sandbox)


def test_a_difference_in_a_root_names_the_file(tmp_path: Path, tools_sandbox: Sandbox) -> None:
    one, other, scratch = tmp_path / "one", tmp_path / "other", tmp_path / "scratch"
    scratch.mkdir()
    sealed(one, "hello", tools_sandbox)
    sealed(other, "world", tools_sandbox)
    (found,) = differences(one, other, sandbox=tools_sandbox, scratch=scratch)
    assert found.artifact == "root.erofs"
    assert any("etc/motd" in cause for cause in found.causes)
    assert not any("etc/same" in cause for cause in found.causes)


def kernel_image(folder: Path, text: str, sandbox: Sandbox, scratch: Path) -> None:
    folder.mkdir()
    tree = scratch / f"{folder.name}-initrd"
    (tree / "etc").mkdir(parents=True)
    (tree / "etc/hello").write_text(text)
    sandbox.run(["cpio", "-o", "-H", "newc", "--quiet"], mounts=[Mount(tree, "/job")], cwd="/job",
                stdin=b"etc\netc/hello\n", stdout=scratch / "cpio", timeout=60)  # fmt: skip
    sandbox.run(["lz4", "-q", "-l", "-c"], stdin=scratch / "cpio", stdout=scratch / "initrd", timeout=60)
    (scratch / "kernel").write_bytes(b"no kernel\n" * 100)
    (folder / "uki.efi").touch()
    sandbox.run(
        ["ukify", "build", "--linux=/job/kernel", "--initrd=/job/initrd", "--uname=6.0", "--os-release=ID=x",
         "--stub=/usr/lib/systemd/boot/efi/linuxx64.efi.stub", "--output=/out/uki.efi"],
        mounts=[Mount(scratch, "/job"), Mount(folder, "/out", writable=True)], timeout=60,
    )  # fmt: skip


def test_a_difference_in_an_initrd_names_the_file(tmp_path: Path, tools_sandbox: Sandbox) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for name, text in (("one", "a"), ("other", "b")):
        kernel_image(tmp_path / name, text, tools_sandbox, scratch)
    (found,) = differences(tmp_path / "one", tmp_path / "other", sandbox=tools_sandbox, scratch=scratch)
    assert "its section .initrd" in found.causes
    assert any("its initrd: " in cause and "etc/hello" in cause for cause in found.causes)


def test_a_difference_in_a_disk_names_the_partition(lab: Lab, tmp_path: Path, tools_sandbox: Sandbox) -> None:
    built = lab.build("container-host")
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        shutil.copyfile(built / "image.raw", tmp_path / name / "image.raw")
    with (tmp_path / "other/image.raw").open("r+b") as file:
        file.seek((1 << 20) + 70_000_000)  # in the ESP, which is the first partition
        file.write(b"x")
    (found,) = differences(tmp_path / "one", tmp_path / "other", sandbox=tools_sandbox, scratch=tmp_path)
    assert [cause for cause in found.causes if cause.startswith("its partition")] == ["its partition esp"]


def test_the_boot_loader_has_no_default_entry(lab: Lab, tools_sandbox: Sandbox) -> None:
    """Trap 1: a `default` line makes systemd-boot start an entry whose tries are used up."""
    built = lab.build("container-host")
    shown = tools_sandbox.run(
        ["mtype", "-i", "/job/image.raw@@1M", "::/loader/loader.conf"],
        mounts=[Mount(built / "image.raw", "/job/image.raw")],
        timeout=60,
    ).stdout.decode()
    assert shown == LOADER_CONF
    assert "default" not in {line.split(" ")[0] for line in shown.splitlines()}
