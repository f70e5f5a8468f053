# SPDX-License-Identifier: Apache-2.0
"""Every link of the chain, held by the real tools: a sound build passes, and each kind of damage is found."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from trust_builds import extension_build, host_build, sign, unsigned_extension, write_disk

from support.releases import leave_check
from zaffre.errors import IntegrityError, ToolError
from zaffre.measured.prediction import ATTESTATION_NAME, Prediction, predict, write_prediction
from zaffre.progress import SILENT
from zaffre.release.candidate import Candidate, create
from zaffre.sandbox import Mount, Sandbox, ToolsTree
from zaffre.trust import Keys, Role, VerifyReport, verify_build
from zaffre.trust.extension import SIGNATURE_TYPES, check_seal
from zaffre.trust.generate import init_keys
from zaffre.trust.gpt import ESP, read_partitions
from zaffre.trust.inspector import Inspector, Verdict
from zaffre.trust.keys import load_certificates

pytestmark = pytest.mark.tools


class Bench:
    """A sound host build, made once, with what was used to make it."""

    def __init__(self, place: Path, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.keys: Keys = init_keys(place / "keys", owner="Tiny", now=datetime.now(UTC))
        self.host, self.extension, self.scratch = place / "host", place / "extension", place / "scratch"
        for folder in (self.host, self.extension, self.scratch):
            folder.mkdir()
        self.root_hash = host_build(self.host, self.scratch, self.keys, sandbox)
        sign(self.host, self.keys, kind="host", root_hash=self.root_hash)
        extension_build(self.extension, self.scratch, self.keys, sandbox)
        sign(self.extension, self.keys)

    def verify(self, folder: Path) -> VerifyReport:
        return verify_build(folder, certificates=self.keys.certificates, sandbox=self.sandbox)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, tools_sandbox: Sandbox) -> Bench:
    return Bench(tmp_path_factory.mktemp("bench"), tools_sandbox)


@pytest.fixture
def build(bench: Bench, tmp_path: Path) -> Path:
    """A copy of the host build, to damage."""
    return Path(shutil.copytree(bench.host, tmp_path / "build"))


def findings(report: VerifyReport) -> dict[str, str]:
    return {check.name: check.detail for check in report.checks if not check.ok}


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def resign(bench: Bench, build: Path) -> None:
    """What an attacker with the release key, but none of the others, would do."""
    sign(build, bench.keys, kind="host", root_hash=bench.root_hash)


def test_a_sound_host_build_holds(bench: Bench) -> None:
    report = bench.verify(bench.host)
    assert findings(report) == {}
    assert report.ok
    assert (report.image, report.version) == ("tiny", "1.20260504.1")
    assert [check.name for check in report.checks] == [
        "manifest signature",
        "files",
        "image.raw",
        "root.erofs",
        "root.verity",
        "uki.efi",
        "kernel image signature",
        "kernel image root hash",
        "root hash tree",
        "root in the disk image",
        "kernel image in the disk image",
        "boot loader signature",
    ]


def test_a_sound_extension_holds(bench: Bench) -> None:
    report = bench.verify(bench.extension)
    assert findings(report) == {}
    assert "signed by the verity key" in report.checks[-1].detail


def test_our_reader_of_partition_tables_agrees_with_sfdisk(bench: Bench) -> None:
    answer = bench.sandbox.run(
        ["sfdisk", "--json", "/build/image.raw"], mounts=[Mount(bench.host, "/build")], timeout=60
    )
    theirs = [
        (part["type"].lower(), part["uuid"].lower(), part.get("name", ""), part["start"] * 512, part["size"] * 512)
        for part in json.loads(answer.stdout)["partitiontable"]["partitions"]
    ]
    ours = [
        (str(part.type), str(part.uuid), part.label, part.offset, part.size)
        for part in read_partitions(bench.host / "image.raw")
    ]
    assert ours == theirs


@pytest.mark.parametrize("name", ["root.erofs", "root.verity", "uki.efi"])
def test_a_flipped_bit_is_found_wherever_it_is_even_if_the_manifest_agrees(
    bench: Bench, build: Path, name: str
) -> None:
    flip(build / name, (build / name).stat().st_size // 2)
    assert name in findings(bench.verify(build))
    resign(bench, build)
    found = findings(bench.verify(build))
    assert "manifest signature" not in found
    assert name not in found
    assert {"uki.efi": "kernel image signature"}.get(name, "root hash tree") in found
    assert any("disk image" in check for check in found)


def test_a_flipped_bit_in_the_disk_image_is_found_and_said_where(bench: Bench, build: Path) -> None:
    esp, root, tree, _empty = read_partitions(build / "image.raw")
    assert esp.type == ESP
    flip(build / "image.raw", root.offset + 4321)
    resign(bench, build)
    assert findings(bench.verify(build)) == {
        "root in the disk image": f"partition {root.label!r} is not root.erofs: first difference at byte 4321"
    }
    flip(build / "image.raw", root.offset + 4321)
    flip(build / "image.raw", tree.offset + tree.size - 1)
    resign(bench, build)
    assert "is not root.verity" in findings(bench.verify(build))["root in the disk image"]


def predicted(bench: Bench, build: Path) -> Prediction:
    return predict(
        build / "uki.efi",
        loader=bench.scratch / "esp/EFI/BOOT/BOOTX64.EFI",
        certificate=bench.keys.public_path(Role.DB),
        image="tiny",
        version="1.20260504.1",
        architecture="amd64",
    )


def test_what_a_build_predicts_is_held_against_its_files(bench: Bench, build: Path) -> None:
    """Even if it is signed: nodes are judged by it, and nobody looks into them."""
    sound = predicted(bench, build)
    write_prediction(build, sound)
    resign(bench, build)
    report = bench.verify(build)
    assert report.ok
    assert "predicted measurements" in [check.name for check in report.checks]
    for name, value in {"loader": "a" * 64, "registers": {11: "a" * 64}, "version": "2"}.items():
        write_prediction(build, sound.model_copy(update={name: value}))
        resign(bench, build)
        wrong = f"{ATTESTATION_NAME} has another {name} than the files"
        assert findings(bench.verify(build)) == {"predicted measurements": wrong}


def test_signed_values_of_a_kernel_image_are_held_against_the_pcr_key(bench: Bench, build: Path) -> None:
    """By them a TPM gives the key of `/var`. This image has some, and no key to which they could belong."""
    (build / "values").write_text('{"sha256": []}')
    words = ["objcopy", "--add-section", ".pcrsig=/build/values", "/build/uki.efi"]
    bench.sandbox.run(words, mounts=[Mount(build, "/build", writable=True)], timeout=60)
    (build / "values").unlink()
    resign(bench, build)
    assert findings(bench.verify(build))["signed PCR values"] == "uki.efi: its .pcrpkey is not the owner's PCR key"


def test_another_command_line_needs_another_signature(bench: Bench, build: Path) -> None:
    text = (build / "uki.efi").read_bytes()
    swapped = text.replace(bench.root_hash.encode(), b"0" * 64)
    assert swapped != text
    (build / "uki.efi").write_bytes(swapped)
    resign(bench, build)
    found = findings(bench.verify(build))
    assert "kernel image signature" in found
    assert found["kernel image root hash"].startswith(f"uki.efi says roothash={'0' * 64}")


def test_a_second_kernel_image_or_an_unsigned_boot_loader_is_found(bench: Bench, build: Path, tmp_path: Path) -> None:
    scratch = Path(shutil.copytree(bench.scratch / "esp", tmp_path / "scratch" / "esp")).parent
    (scratch / "esp/EFI/Linux/other.efi").write_bytes(b"MZ")
    loader = scratch / "esp/EFI/BOOT/BOOTX64.EFI"
    flip(loader, loader.stat().st_size // 2)
    write_disk(build, scratch, bench.root_hash, bench.sandbox)
    resign(bench, build)
    found = findings(bench.verify(build))
    assert "holds 2 programs, not one" in found["kernel image in the disk image"]
    assert "BOOTX64.EFI is not signed by" in found["boot loader signature"]


def test_an_extension_sealed_by_another_key_is_found(bench: Bench, tmp_path: Path) -> None:
    other = init_keys(tmp_path / "other", owner="Other", now=datetime.now(UTC))
    sign(bench.extension, other)
    try:
        report = verify_build(bench.extension, certificates=other.certificates, sandbox=bench.sandbox)
    finally:
        sign(bench.extension, bench.keys)
    assert "not signed by the verity key" in findings(report)["seal of extension.raw"]


@pytest.mark.parametrize(
    ("key", "spoil", "words"),
    [
        ("own", "nothing", None),
        ("other", "nothing", "is not signed by the verity key"),
        ("own", "signature", "0 signature partitions"),
        ("own", "data", "veritysetup"),
    ],
)
def test_only_an_extension_that_hosts_would_take_is_released(
    bench: Bench, tmp_path: Path, key: str, spoil: str, words: str | None
) -> None:
    """Sealed by another's key, without a seal, or damaged: its manifest and its check hold, and it is refused."""
    keys = bench.keys if key == "own" else init_keys(tmp_path / "other", owner="Other", now=datetime.now(UTC))
    build = Path(shutil.copytree(bench.extension, tmp_path / "build"))
    data, tree, signature = read_partitions(build / "extension.raw")
    if spoil == "data":
        flip(build / "extension.raw", data.offset + 1024)
    if spoil == "signature":
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        for name, part in (("data", data), ("tree", tree)):
            with (build / "extension.raw").open("rb") as image:
                image.seek(part.offset)
                (scratch / name).write_bytes(image.read(part.size))
        unsigned_extension(build, scratch, bench.sandbox)
    assert signature.type in SIGNATURE_TYPES
    sign(build, keys)
    leave_check(build, keys)

    def seal(extension: Path) -> Verdict:
        return check_seal(extension, Inspector(build, keys.certificates, bench.sandbox))

    def made() -> Candidate:
        return create(
            build,
            keys.certificates,
            seal=seal,
            floor=None,
            notes="",
            whole=False,
            now=datetime.now(UTC),
            progress=SILENT,
        )

    if words is None:
        assert made().kind == "sysext"
        return
    with pytest.raises(IntegrityError, match="not sealed by your verity key") as told:
        made()
    assert words in str(told.value.details)


def test_an_extension_for_a_host_whose_kernel_knows_the_db_key_holds(bench: Bench, tmp_path: Path) -> None:
    """Which key it was sealed by is told. Here the keys have changed their names since it was sealed."""
    other = Path(shutil.copytree(bench.keys.directory, tmp_path / "keys"))
    for suffix in ("key", "crt"):
        shutil.copy(bench.keys.directory / f"verity.{suffix}", other / f"db.{suffix}")
        shutil.copy(bench.keys.directory / f"db.{suffix}", other / f"verity.{suffix}")
    certificates = load_certificates(other)
    report = verify_build(bench.extension, certificates=certificates, sandbox=bench.sandbox)
    assert findings(report) == {}
    assert "signed by the db key" in report.checks[-1].detail


def test_damage_within_an_extension_is_found(bench: Bench, tmp_path: Path) -> None:
    build = Path(shutil.copytree(bench.extension, tmp_path / "build"))
    data = read_partitions(build / "extension.raw")[0]
    flip(build / "extension.raw", data.offset + 1024)  # erofs's superblock
    sign(build, bench.keys)
    assert "seal of extension.raw" in findings(bench.verify(build))


def test_anothers_certificates_do_not_fit(bench: Bench, tmp_path: Path) -> None:
    other = init_keys(tmp_path / "other", owner="Other", now=datetime.now(UTC))
    report = verify_build(bench.host, certificates=other.certificates, sandbox=bench.sandbox)
    assert {"manifest signature", "kernel image signature", "boot loader signature"} <= set(findings(report))


@pytest.mark.parametrize(
    "damage",
    [
        lambda build: (build / "image.raw").write_bytes(b""),
        lambda build: (build / "image.raw").write_bytes(bytes(4096)),
        lambda build: (build / "uki.efi").write_bytes(b"MZ" + bytes(62)),
        lambda build: (build / "root.verity").write_bytes(b""),
        lambda build: (build / "uki.efi").unlink(),
    ],
)
def test_nonsense_is_a_finding_and_no_crash(bench: Bench, build: Path, damage: Callable[[Path], None]) -> None:
    damage(build)
    report = bench.verify(build)
    assert not report.ok
    assert len(report.checks) >= 10


def test_tools_that_are_not_there_are_an_error_and_no_verdict(bench: Bench, tmp_path: Path) -> None:
    for name in ("usr", "proc", "dev", "tmp", "run", "sys"):
        (tmp_path / name).mkdir()
    with pytest.raises(ToolError, match="sbverify"):
        verify_build(bench.host, certificates=bench.keys.certificates, sandbox=Sandbox(ToolsTree(tmp_path, "empty")))
