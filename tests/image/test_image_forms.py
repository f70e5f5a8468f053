# SPDX-License-Identifier: Apache-2.0
"""Forms of a disk, by the real tools: the same bytes twice, the same disk back, and what is no disk."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.disks import MIB, make_disk
from zaffre.definition import Form
from zaffre.errors import DefinitionError, DiskFullError, IntegrityError
from zaffre.image.forms.disk import QEMU_FORMS, write_disk_form
from zaffre.image.forms.source import driver_of, raw_disk
from zaffre.image.forms.stamp import Stamp
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import allocated_size, hash_file

pytestmark = pytest.mark.tools

EPOCH = 1_777_000_000
DISK_FORMS = [form for form in Form if not form.of_tree]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory, tools_sandbox: Sandbox) -> Path:
    return make_disk(tmp_path_factory.mktemp("disk") / "disk.raw", tools_sandbox)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, raw: Path, tools_sandbox: Sandbox) -> dict[Form, Path]:
    """Each form of the disk."""
    folder = tmp_path_factory.mktemp("forms")
    stamp = Stamp(hash_file(raw), EPOCH)
    found = {}
    for form in DISK_FORMS:
        found[form] = folder / f"disk.{form}"
        write_disk_form(form, raw, found[form], stamp=stamp, sandbox=tools_sandbox)
    return found


@pytest.mark.parametrize("form", DISK_FORMS)
def test_the_same_disk_gives_the_same_bytes(
    form: Form, raw: Path, made: dict[Form, Path], tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    elsewhere = Sandbox(tools_sandbox.tools, clock_offset_seconds=90_000, jobs=1)
    for number, sandbox in enumerate((tools_sandbox, elsewhere)):
        again = tmp_path / f"another-name-{number}"
        write_disk_form(form, raw, again, stamp=Stamp(hash_file(raw), EPOCH), sandbox=sandbox)
        assert hash_file(again) == hash_file(made[form])
    assert list(tmp_path.glob(".*")) == []


@pytest.mark.parametrize("form", DISK_FORMS)
def test_the_disk_comes_back(
    form: Form, raw: Path, made: dict[Form, Path], tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    with raw_disk(made[form], scratch=tmp_path, sandbox=tools_sandbox) as back:
        assert hash_file(back) == hash_file(raw)
        assert allocated_size(back) < 8 * MIB, "holes are kept"
    assert allocated_size(made[form]) < 16 * MIB


@pytest.mark.parametrize("form", [Form.QCOW2, Form.VHDX, Form.VMDK])
def test_qemu_finds_no_fault(form: Form, made: dict[Form, Path], tools_sandbox: Sandbox) -> None:
    driver = QEMU_FORMS[form].driver
    done = tools_sandbox.run(
        ["qemu-img", "check", "-f", driver, "/job/disk"], mounts=[Mount(made[form], "/job/disk")], timeout=60.0
    )
    assert b"No errors were found" in done.stdout


def test_a_vhd_is_as_azure_wants_it(tmp_path: Path, tools_sandbox: Sandbox) -> None:
    """A disk that is no whole number of MiB becomes one, with the copy of its partition table at the new end."""
    raw = make_disk(tmp_path / "odd.raw", tools_sandbox, size=40 * MIB + 4096)
    target = tmp_path / "odd.vhd"
    write_disk_form(Form.VHD, raw, target, stamp=Stamp(hash_file(raw), EPOCH), sandbox=tools_sandbox)
    assert target.stat().st_size == 41 * MIB + 512
    with raw_disk(target, scratch=tmp_path, sandbox=tools_sandbox) as back:
        checked = tools_sandbox.run(
            ["sfdisk", "--verify", "/job/disk"], mounts=[Mount(back, "/job/disk")], timeout=60.0
        )
        assert b"No errors detected" in checked.stdout
        assert back.read_bytes()[-512:].startswith(b"EFI PART")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["odd.raw", "odd.vhd"]


@pytest.mark.parametrize("form", DISK_FORMS)
def test_a_file_that_is_cut_off_is_refused(
    form: Form, made: dict[Form, Path], tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    cut = tmp_path / "cut"
    shutil.copyfile(made[form], cut)
    os.truncate(cut, cut.stat().st_size // 2)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with (
        pytest.raises(IntegrityError, match=r"cut off|partition table"),
        raw_disk(cut, scratch=scratch, sandbox=tools_sandbox),
    ):
        pass
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"hello\n" * 400, b"# Disk DescriptorFile\nversion=1\n", bytes(4096)])
def test_a_foreign_file_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    with pytest.raises(DefinitionError, match="no disk image") as caught:
        driver_of(path)
    assert "qcow2" in (caught.value.resolution or "")


def test_an_image_that_refers_to_another_is_refused(raw: Path, tmp_path: Path, tools_sandbox: Sandbox) -> None:
    shutil.copyfile(raw, tmp_path / "secret")
    tools_sandbox.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "/job/secret", "-F", "raw", "/job/thin.qcow2"],
        mounts=[Mount(tmp_path, "/job", writable=True)],
        timeout=60.0,
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with (
        pytest.raises(DefinitionError, match="refers to another file"),
        raw_disk(tmp_path / "thin.qcow2", scratch=scratch, sandbox=tools_sandbox),
    ):
        pass


def test_a_disk_without_a_partition_table_in_it_is_refused(tmp_path: Path, tools_sandbox: Sandbox) -> None:
    tools_sandbox.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", "/job/empty.qcow2", "8M"],
        mounts=[Mount(tmp_path, "/job", writable=True)],
        timeout=60.0,
    )
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with (
        pytest.raises(IntegrityError, match="no GUID partition table"),
        raw_disk(tmp_path / "empty.qcow2", scratch=scratch, sandbox=tools_sandbox),
    ):
        pass


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("form", DISK_FORMS)
def test_a_full_disk_is_said_and_nothing_is_left(form: Form, raw: Path, small: Path, tools_sandbox: Sandbox) -> None:
    (small / "filler").write_bytes(bytes(MIB - 64 * 1024))
    with pytest.raises((DiskFullError, OSError)) as caught:
        write_disk_form(form, raw, small / "out", stamp=Stamp(hash_file(raw), EPOCH), sandbox=tools_sandbox)
    assert "No space left" in str(caught.value) or isinstance(caught.value, DiskFullError)
    assert [path.name for path in small.iterdir()] == ["filler"]
