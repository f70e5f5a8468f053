# SPDX-License-Identifier: Apache-2.0
"""What verification sees without any tool: the manifest, its signature, the files; and malformed images."""

from __future__ import annotations

import os
import struct
import tempfile
import uuid
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trust_builds import sign

from zaffre.errors import DefinitionError, IntegrityError
from zaffre.manifest import MANIFEST_NAME, SIGNATURE_NAME, Artifact
from zaffre.pe import text_sections
from zaffre.sandbox import Sandbox
from zaffre.trust import Keys, VerifyReport, verify_build
from zaffre.trust.generate import init_keys
from zaffre.trust.gpt import ESP, SECTOR, read_partitions


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("owner") / "keys", owner="Tiny", now=datetime.now(UTC))


@pytest.fixture
def build(tmp_path: Path, keys: Keys) -> Path:
    """A build of two plain files, whose contents no tool has to look into."""
    folder = tmp_path / "build"
    folder.mkdir()
    (folder / "one.txt").write_bytes(b"one")
    (folder / "two.txt").write_bytes(b"two" * 1000)
    sign(folder, keys)
    return folder


def verify(build: Path, keys: Keys) -> VerifyReport:
    return verify_build(build, certificates=keys.certificates, sandbox=Sandbox(None))


def findings(build: Path, keys: Keys) -> dict[str, str]:
    return {check.name: check.detail for check in verify(build, keys).checks if not check.ok}


def test_a_sound_build(build: Path, keys: Keys) -> None:
    report = verify(build, keys)
    assert report.ok
    assert report.model_dump(mode="json")["ok"] is True
    assert [check.name for check in report.checks] == ["manifest signature", "files", "one.txt", "two.txt"]


def test_changed_bytes_changed_size_missing_and_extra_files(build: Path, keys: Keys) -> None:
    (build / "one.txt").write_bytes(b"0ne")
    (build / "two.txt").write_bytes(b"two")
    (build / "more").touch()
    found = findings(build, keys)
    assert found["one.txt"].startswith("sha256 is ")
    assert found["two.txt"] == "3 bytes, the manifest says 3000"
    assert found["files"] == "more: not named in the manifest"
    (build / "one.txt").unlink()
    assert "one.txt: named in the manifest but missing" in findings(build, keys)["files"]


def test_a_link_is_no_artifact(build: Path, keys: Keys, tmp_path: Path) -> None:
    (build / "one.txt").rename(tmp_path / "one.txt")
    (build / "one.txt").symlink_to(tmp_path / "one.txt")
    assert findings(build, keys) == {"files": "one.txt: not a regular file"}


def test_the_manifest_is_the_one_that_was_signed(build: Path, keys: Keys) -> None:
    manifest = (build / MANIFEST_NAME).read_bytes()
    (build / MANIFEST_NAME).write_bytes(manifest.replace(b'"debug": false', b'"debug": true'))
    assert list(findings(build, keys)) == ["manifest signature"]
    (build / MANIFEST_NAME).write_bytes(manifest)
    (build / SIGNATURE_NAME).unlink()
    assert findings(build, keys)["manifest signature"] == f"{SIGNATURE_NAME} is missing"
    (build / SIGNATURE_NAME).write_bytes(b"A" * 5000)
    with pytest.raises(IntegrityError, match="larger"):
        verify(build, keys)


def test_a_host_needs_its_files_to_be_named(build: Path, keys: Keys) -> None:
    sign(build, keys, kind="host")
    found = findings(build, keys)
    assert "root.erofs: a host image needs it" in found["files"]
    assert found["root hash tree"] == "could not be looked at without root.erofs, root.verity"


def test_a_manifest_cannot_name_files_elsewhere(build: Path, keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(b"")
    entry = Artifact(sha256="0" * 64, size=0)
    sign(build, keys, artifacts={"../secret.raw": entry, MANIFEST_NAME: entry, "..": entry})
    assert "../secret.raw: not a name of an artifact" in findings(build, keys)["files"]


@pytest.mark.parametrize("text", [b"", b"{}", b"[]", b"\xff", b'{"format": 2}'])
def test_a_manifest_that_is_none(build: Path, keys: Keys, text: bytes) -> None:
    (build / MANIFEST_NAME).write_bytes(text)
    report = verify(build, keys)
    assert not report.ok
    assert "not a manifest of format 1" in report.checks[-1].detail


def test_a_folder_that_is_no_build(tmp_path: Path, keys: Keys) -> None:
    with pytest.raises(DefinitionError, match="not a build"):
        verify(tmp_path, keys)


def gpt(entries: list[tuple[uuid.UUID, int, int]], *, sectors: int = 100) -> bytearray:
    """An image of `sectors` with a table of 128-byte entries at sector 2."""
    table = b"".join(
        struct.pack("<16s16sQQQ72s", kind.bytes_le, uuid.UUID(int=number).bytes_le, first, last, 0, b"a\0b\0")
        for number, (kind, first, last) in enumerate(entries)
    ).ljust(4 * 128, b"\0")
    fields = (b"EFI PART", 0x10000, 92, 0, 0, 1, sectors - 1, 3, sectors - 2, bytes(16), 2, 4, 128, zlib.crc32(table))
    header = bytearray(struct.pack("<8sIIIIQQQQ16sQIII", *fields))
    header[16:20] = struct.pack("<I", zlib.crc32(header))
    image = bytearray(sectors * SECTOR)
    image[SECTOR : SECTOR + len(header)] = header
    image[2 * SECTOR : 2 * SECTOR + len(table)] = table
    return image


def test_a_partition_table_is_read(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(gpt([(ESP, 10, 19), (uuid.UUID(int=7), 20, 20)]))
    first, second = read_partitions(tmp_path / "disk")
    assert (first.type, first.label, first.offset, first.size) == (ESP, "ab", 10 * SECTOR, 10 * SECTOR)
    assert (second.uuid, second.size) == (uuid.UUID(int=1), SECTOR)


@pytest.mark.parametrize("at", [SECTOR, SECTOR + 20, SECTOR + 80, 2 * SECTOR + 3])
def test_a_damaged_partition_table_is_refused(tmp_path: Path, at: int) -> None:
    image = gpt([(ESP, 10, 19)])
    image[at] ^= 1
    (tmp_path / "disk").write_bytes(image)
    with pytest.raises(IntegrityError):
        read_partitions(tmp_path / "disk")


@pytest.mark.parametrize(("first", "last"), [(10, 100), (10, 9), (10, 2**64 - 1), (2**63, 2**63 + 5)])
def test_a_partition_outside_the_image_is_refused(tmp_path: Path, first: int, last: int) -> None:
    (tmp_path / "disk").write_bytes(gpt([(ESP, first, last)]))
    with pytest.raises(IntegrityError, match="inside the image"):
        read_partitions(tmp_path / "disk")


def pe(sections: list[tuple[bytes, bytes]]) -> bytes:
    """The headers that matter, padded as a linker does."""
    start = b"MZ".ljust(60, b"\0") + struct.pack("<I", 64)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(sections), 0, 0, 0, 16, 0) + bytes(16)
    at = len(start) + len(coff) + 40 * len(sections)
    headers, bodies = b"", b""
    for name, body in sections:
        padded = body.ljust(-(-len(body) // 64) * 64, b"\0")
        headers += struct.pack("<8sIIIIIIHHI", name, len(body), 0, len(padded), at + len(bodies), 0, 0, 0, 0, 0)
        bodies += padded
    return start + coff + headers + bodies


def test_sections_are_read(tmp_path: Path) -> None:
    (tmp_path / "uki").write_bytes(pe([(b".linux", b"\xff" * 99), (b".cmdline", b"a=b\n"), (b".cmdline", b"c\0\0")]))
    assert text_sections(tmp_path / "uki", ".cmdline") == ("a=b", "c")
    assert text_sections(tmp_path / "uki", ".none") == ()
    with pytest.raises(IntegrityError):
        text_sections(tmp_path / "uki", ".linux")


SAMPLES = (bytes(gpt([(ESP, 10, 19)], sectors=20)), pe([(b".cmdline", b"roothash=0")]))


@given(st.sampled_from(SAMPLES), st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255))), st.integers(0, 12_000))
def test_readers_of_hostile_files_fail_in_one_way_only(
    sample: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    data = bytearray(sample[:length])
    for at, value in changes:
        if at < len(data):
            data[at] = value
    descriptor, name = tempfile.mkstemp()
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        for read in (read_partitions, lambda path: text_sections(path, ".cmdline")):
            with suppress(IntegrityError):
                read(Path(name))
    finally:
        Path(name).unlink()
