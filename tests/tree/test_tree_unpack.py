# SPDX-License-Identifier: Apache-2.0
"""A sound package is read exactly; a hostile or damaged one is refused with its name and the member's."""

from __future__ import annotations

import gzip
import hashlib
import lzma
import tarfile
from pathlib import Path

import pytest
import zstandard
from debs import ar, deb, entry, locked, tar, write

from zaffre.errors import IntegrityError
from zaffre.progress import SILENT
from zaffre.store import Store
from zaffre.tree.deb.model import Kind, PackageIndex
from zaffre.tree.deb.unpack import read_package, unpack_all


def read(folder: Path, content: bytes) -> PackageIndex:
    return read_package(write(folder, content), folder / "data.tar", package=locked(content))


def test_a_package_is_indexed_with_the_place_of_its_content(tmp_path: Path) -> None:
    content = deb(
        [
            entry("./usr/"),
            entry("./usr/tool", b"text", mode=0o755, mtime=77),
            entry("./usr/" + "long" * 40, b"x"),
            entry("./usr/link", type=tarfile.SYMTYPE, linkname="../usr/tool"),
            entry("./usr/hard", type=tarfile.LNKTYPE, linkname="./usr/tool"),
            entry("./etc/"),
            entry("./etc/probe.conf", b"a=1\n"),
        ],
        scripts=[
            entry("./conffiles", b"/etc/probe.conf\nremove-on-upgrade /etc/old\n"),
            entry("./postinst", b"#!/bin/sh\n", mode=0o755),
        ],
    )
    index = read(tmp_path, content)
    data = (tmp_path / "data.tar").read_bytes()
    by_path = {member.path: member for member in index.members}
    tool = by_path["usr/tool"]
    assert data[tool.offset : tool.offset + tool.size] == b"text"
    assert (tool.mode, tool.mtime, tool.kind) == (0o755, 77, Kind.FILE)
    assert by_path["usr/hard"].target == "usr/tool"
    assert by_path["usr/link"].target == "../usr/tool"
    assert "usr/" + "long" * 40 in by_path
    assert index.conffiles == (
        ("/etc/probe.conf", hashlib.md5(b"a=1\n").hexdigest()),
        ("/etc/old", "newconffile remove-on-upgrade"),
    )
    assert index.files["postinst"] == (0o755, b"#!/bin/sh\n")
    assert PackageIndex.from_bytes(index.to_bytes()) == index


@pytest.mark.parametrize(
    ("name", "pack"),
    [
        ("data.tar.xz", lzma.compress),
        ("data.tar.zst", zstandard.ZstdCompressor().compress),
        ("data.tar.gz", gzip.compress),
        ("data.tar", lambda data: data),
    ],
)
def test_every_compression_gives_the_same_archive(tmp_path: Path, name: str, pack) -> None:
    plain = tar([entry("./"), entry("./file", b"1" * 3_000_000)])
    read(tmp_path, deb(data_name=name, data=pack(plain)))
    assert (tmp_path / "data.tar").read_bytes() == plain


HOSTILE = {
    "absolute path": (entry("/etc/passwd", b"x"), "absolute path"),
    "dot dot": (entry("./usr/../../etc/passwd", b"x"), "'..'"),
    "link above the root": (entry("./usr/l", type=tarfile.SYMTYPE, linkname="../../etc"), "above the root"),
    "absolute link above": (entry("./l", type=tarfile.SYMTYPE, linkname="/../etc"), "above the root"),
    "hard link outside": (entry("./h", type=tarfile.LNKTYPE, linkname="etc/shadow"), "no earlier file"),
    "hard link up": (entry("./h", type=tarfile.LNKTYPE, linkname="../x"), "'..'"),
    "device": (entry("./dev/sda", type=tarfile.BLKTYPE), "a block device"),
    "character device": (entry("./dev/mem", type=tarfile.CHRTYPE), "a character device"),
    "pipe": (entry("./p", type=tarfile.FIFOTYPE), "a named pipe"),
    "line break": (entry("./a\nb", b""), "control characters"),
    "owner": (entry("./a", b"", uid=100000), "100000"),
    "unknown type": (entry("./a", type=b"V"), "type"),
    "root replaced": (entry("./", type=tarfile.SYMTYPE, linkname="usr"), "root directory"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_refused(tmp_path: Path, case: str) -> None:
    bad, why = HOSTILE[case]
    with pytest.raises(IntegrityError, match=why) as caught:
        read(tmp_path, deb([bad]))
    assert "probe" in caught.value.brief
    assert caught.value.where
    assert "probe_1.0_amd64.deb: " in caught.value.where
    assert caught.value.resolution


def test_a_member_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(IntegrityError, match="twice"):
        read(tmp_path, deb([entry("./a", b"1"), entry("./a", b"2")]))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_package_is_refused(tmp_path: Path, share: float) -> None:
    whole = deb([entry("./a", bytes(range(256)) * 400)])
    with pytest.raises(IntegrityError):
        read(tmp_path, whole[: int(len(whole) * share)])


@pytest.mark.parametrize("cut", [1, 512, 1024, 1500, 2048])
def test_a_truncated_data_archive_is_refused(tmp_path: Path, cut: int) -> None:
    plain = tar([entry("./"), entry("./a", b"x" * 600), entry("./b", b"y" * 600)]).rstrip(b"\0")
    with pytest.raises(IntegrityError, match="truncated"):
        read(tmp_path, deb(data_name="data.tar", data=plain[: len(plain) // 512 * 512 - cut]))


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    plain = bytearray(tar([entry("./"), entry("./a", b"x"), entry("./b", b"y")]))
    plain[512 * 3 + 150] ^= 1  # the checksum field of ./b
    with pytest.raises(IntegrityError, match="damaged"):
        read(tmp_path, deb(data_name="data.tar", data=bytes(plain)))


def test_a_decompression_bomb_is_stopped_early(tmp_path: Path) -> None:
    bomb = lzma.compress(bytes(200 << 20), preset=1)
    with pytest.raises(IntegrityError, match="bomb"):
        read(tmp_path, deb(data=bomb))
    assert (tmp_path / "data.tar").stat().st_size < 100 << 20


def test_a_package_that_is_another_than_the_lock_says_is_refused(tmp_path: Path) -> None:
    content = deb(name="other")
    with pytest.raises(IntegrityError, match="Package: other, the lock says probe"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not an archive",
        ar([("debian-binary", b"3.0\n")]),
        ar([("debian-binary", b"2.0\n"), ("data.tar", b"")]),
        ar([("debian-binary", b"2.0\n"), ("control.tar.lzma", b"")]),
        ar([("debian-binary", b"2.0\n"), ("control.tar", tar([entry("./nothing", b"")])), ("data.tar", b"")]),
    ],
)
def test_what_is_no_package_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(IntegrityError):
        read(tmp_path, content)


def test_packages_are_unpacked_once_a_store_and_a_changed_one_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    content = deb([entry("./a", b"1")])
    package = locked(content)
    store.add_file(write(tmp_path, content), expected=package.digest)
    first = unpack_all([package], store=store, progress=SILENT)
    blob = store.path(package.digest)
    blob.chmod(0o644)
    blob.write_bytes(content[:-1] + b"!")
    assert unpack_all([package], store=store, progress=SILENT) == first
    with pytest.raises(IntegrityError):
        unpack_all([package], store=store, progress=SILENT, use_cache=False)
