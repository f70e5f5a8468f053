# SPDX-License-Identifier: Apache-2.0
"""A form that holds something else than the image is found, whoever signed it."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import zstandard
from trust_builds import sign

from support.disks import make_disk
from zaffre.sandbox import Mount, Sandbox
from zaffre.trust import Keys, verify_build
from zaffre.trust.generate import init_keys

pytestmark = pytest.mark.tools

DRIVERS = {"qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk"}
OPTIONS = {"vhd": ("-o", "subformat=fixed,force_size=on")}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return init_keys(tmp_path_factory.mktemp("keys") / "keys", owner="Tiny", now=datetime.now(UTC))


def archive(*, content: bytes = b"hello\n", owner: int = 0, capability: bool = False, more: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as made:
        folder = tarfile.TarInfo("usr")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        made.addfile(folder)
        for name in ("usr/hello", *((more,) if more else ())):
            info = tarfile.TarInfo(name)
            info.size, info.uid = len(content), owner
            if capability:
                info.pax_headers = {"SCHILY.xattr.security.capability": "x"}
            made.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("usr/link")
        link.type, link.linkname, link.mode = tarfile.SYMTYPE, "hello", 0o777
        made.addfile(link)
    return buffer.getvalue()


INVENTORY = {
    "format": 2,
    "content": [
        {"path": "/usr", "mode": "0755"},
        {
            "path": "/usr/hello",
            "mode": "0644",
            "bytes": 6,
            "sha256": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        },
        {"path": "/usr/link", "mode": "0777", "target": "hello"},
    ],
}


def build(folder: Path, sandbox: Sandbox) -> Path:
    """Not a whole server: what is looked at here is its disk and its files."""
    folder.mkdir()
    raw = make_disk(folder / "image.raw", sandbox, size=32 << 20)
    for form, driver in DRIVERS.items():
        convert(raw, folder / f"image.{form}", driver, sandbox, *OPTIONS.get(form, ()))
    (folder / "image.raw.zst").write_bytes(zstandard.compress(raw.read_bytes()))
    (folder / "root.tar").write_bytes(archive())
    (folder / "root.tar.zst").write_bytes(zstandard.compress(archive()))
    (folder / "inventory.json").write_text(json.dumps(INVENTORY))
    return folder


def convert(source: Path, target: Path, driver: str, sandbox: Sandbox, *options: str) -> None:
    sandbox.run(
        ["qemu-img", "convert", "-f", "raw", "-O", driver, *options, "/in", f"/out/{target.name}"],
        mounts=[Mount(source, "/in"), Mount(target.parent, "/out", writable=True)],
        timeout=60.0,
    )


def verdicts(folder: Path, keys: Keys, sandbox: Sandbox) -> dict[str, tuple[bool, str]]:
    sign(folder, keys, kind="server")
    report = verify_build(folder, certificates=keys.certificates, sandbox=sandbox)
    ending = " holds the same"
    return {one.name.removesuffix(ending): (one.ok, one.detail) for one in report.checks if one.name.endswith(ending)}


def test_forms_are_held_against_the_disk_and_the_inventory(keys: Keys, tmp_path: Path, tools_sandbox: Sandbox) -> None:
    folder = build(tmp_path / "build", tools_sandbox)
    sound = verdicts(folder, keys, tools_sandbox)
    assert sorted(sound) == [
        *("image.qcow2", "image.raw.zst", "image.vhd", "image.vhdx", "image.vmdk", "root.tar", "root.tar.zst"),
    ]
    assert {name: detail for name, (ok, detail) in sound.items() if not ok} == {}

    # Another disk in each, signed by somebody who has the release key.
    other = tmp_path / "other.raw"
    other.write_bytes((folder / "image.raw").read_bytes())
    with other.open("r+b") as file:
        file.seek(20 << 20)
        file.write(b"a back door")
    for form, driver in DRIVERS.items():
        convert(other, folder / f"image.{form}", driver, tools_sandbox, *OPTIONS.get(form, ()))
    (folder / "image.raw.zst").write_bytes(zstandard.compress(other.read_bytes()))
    (folder / "root.tar").write_bytes(archive(content=b"bye..\n"))
    (folder / "root.tar.zst").write_bytes(zstandard.compress(archive(more="usr/more")))
    bad = verdicts(folder, keys, tools_sandbox)
    assert [name for name, (ok, _) in bad.items() if ok] == []
    assert "another one than image.raw" in bad["image.vmdk"][1]
    assert bad["root.tar"][1] == "/usr/hello: its content is another"
    assert bad["root.tar.zst"][1] == "/usr/more is not in inventory.json"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (archive(owner=7), "/usr/hello: it belongs to 7:0"),
        (archive(capability=True), "/usr/hello: it has other capabilities"),
        (archive()[:1024], "no whole archive"),
        (archive()[:700], "/usr/hello is not in it"),
        (b"nonsense" * 100, "no whole archive"),
    ],
)
def test_an_archive_that_is_not_the_root(
    data: bytes, said: str, keys: Keys, tmp_path: Path, tools_sandbox: Sandbox
) -> None:
    (tmp_path / "root.tar").write_bytes(data)
    (tmp_path / "inventory.json").write_text(json.dumps(INVENTORY))
    ok, detail = verdicts(tmp_path, keys, tools_sandbox)["root.tar"]
    assert not ok
    assert said in detail


def test_a_form_that_is_none_is_a_finding(keys: Keys, tmp_path: Path, tools_sandbox: Sandbox) -> None:
    make_disk(tmp_path / "image.raw", tools_sandbox, size=32 << 20)
    (tmp_path / "image.qcow2").write_bytes(b"QFI\xfb nonsense" * 100)
    (tmp_path / "image.raw.zst").write_bytes(b"\x28\xb5\x2f\xfd nonsense")
    (tmp_path / "image.vhdx").write_bytes(b"")
    found = verdicts(tmp_path, keys, tools_sandbox)
    assert all(not ok for ok, _ in found.values())
    assert "cannot be read" in found["image.qcow2"][1]
    assert "does not unpack" in found["image.raw.zst"][1]
    longer = zstandard.compress(bytes(33 << 20))
    (tmp_path / "image.raw.zst").write_bytes(longer)
    assert "more than it may" in verdicts(tmp_path, keys, tools_sandbox)["image.raw.zst"][1]
