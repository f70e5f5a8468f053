# SPDX-License-Identifier: Apache-2.0
"""The reference host, updated and booted. Two builds and one good check serve all that can be seen in them."""

from __future__ import annotations

import json
import shutil
import struct
import uuid
from pathlib import Path

import pytest

from support.lab import Lab
from support.updates import Versions
from zaffre.cli.making import Making
from zaffre.errors import FindingError
from zaffre.machine import Accelerator, OwnerCertificates, Subject, architecture_named, check_image
from zaffre.manifest import Manifest
from zaffre.sandbox import Mount
from zaffre.store import copy_sparse
from zaffre.trust import Role

pytestmark = [pytest.mark.boot, pytest.mark.xdist_group("boot")]


@pytest.fixture(scope="module")
def host(lab: Lab) -> Path:
    return lab.build("container-host")


def _slow_udev(distro: Path) -> None:
    """In the initrd, it takes two seconds to end: the root must not take over before."""
    drop_in = distro / "files/slow/usr/lib/systemd/system/systemd-udevd.service.d/99-slow.conf"
    drop_in.parent.mkdir(parents=True)
    drop_in.write_text("[Service]\nKillSignal=SIGCONT\nTimeoutStopSec=2\n")
    image = distro / "images/container-host.toml"
    image.write_text(image.read_text().replace("\n[initrd]\n", '\n[initrd]\ntree = "files/slow"\n'))
    assert 'tree = "files/slow"' in image.read_text()


@pytest.fixture(scope="module")
def next_one(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version after it."""
    return Versions(lab, tmp_path_factory.mktemp("next"), adapt=_slow_udev).build(1).folder


@pytest.fixture(scope="module")
def report(lab: Lab, host: Path, next_one: Path) -> dict:
    """Of the next version, to which the host is updated."""
    places = ("--distro", str(next_one.parents[1] / "distro-1"), "--out", str(next_one.parent), "--from", str(host))
    done = lab.zaffre("check", "container-host", *places, "--timeout", "1500", "--json", check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_everything_that_is_promised_holds(report: dict) -> None:
    failed = {line["title"]: line["found"] for line in report["lines"] if line["verdict"] == "failed"}
    assert failed == {}
    passed = {line["title"] for line in report["lines"] if line["verdict"] == "passed"}
    assert {
        "system running",
        "Secure Boot",
        "root file system",
        "dm-verity",
        "a write to /usr",
        "a change in /etc, after a restart",
        "a change in /var, after a restart",
        "the boot's own verdict",
        "the update to it",
        "the machine's id, after a restart",
        "a container",
        "the container's network",
        "IPv4 address",
        "IPv6 address",
        "kernel settings",
        "log-in services",
    } <= passed


def test_stages_of_both_boots_are_measured(report: dict) -> None:
    assert len(report["boots"]) == 2
    for boot in report["boots"]:
        assert boot["kernel"] > 0
        assert boot["initrd"] > 0
        assert boot["multi_user"] >= boot["kernel"] + boot["initrd"]
        assert boot["containerd"] > boot["kernel"]
    assert 0 < report["memory_used_bytes"] < report["memory_total_bytes"]


def test_what_has_passed_can_be_released(lab: Lab, next_one: Path, report: dict, tmp_path: Path) -> None:
    """The check has left its report beside the build; from there on it is a channel that verifies."""
    secret = tmp_path / "secret"
    secret.write_text("a passphrase of a test\n")
    secret.chmod(0o600)
    env = {"ZAFFRE_RELEASE_KEYS": str(tmp_path / "signers"), "ZAFFRE_RELEASE_PASSPHRASE_FILE": str(secret)}

    def release(*words: str) -> dict:
        return json.loads(lab.zaffre("release", *words, "--json", env=env, cwd=tmp_path).stdout)

    release("keys", "init")
    release("init", "repo")
    made = release("create", str(next_one))
    assert made["evidence"]["held"] == sum(line["verdict"] == "passed" for line in report["lines"])
    assert {"root.erofs", "root.verity", "uki.efi"} <= set(made["files"])
    assert release("publish", str(next_one), "repo")["published"]
    assert release("verify", "repo")["ok"]
    assert release("show", "repo", "dev")["root_hash"] == made["root_hash"]


def test_it_starts_from_an_earlier_build_that_holds(lab: Lab, host: Path, tmp_path: Path) -> None:
    places = ("check", "container-host", "--out", str(lab.out), "--from")
    itself = lab.zaffre(*places, str(host), check=False)
    assert (itself.returncode, "hosts only go forward" in itself.stderr) == (2, True)
    shutil.copyfile(host / "manifest.json.sig", tmp_path / "manifest.json.sig")
    (tmp_path / "manifest.json").write_bytes((host / "manifest.json").read_bytes().replace(b"amd64", b"arm64"))
    forged = lab.zaffre(*places, str(tmp_path), check=False)
    assert (forged.returncode, "the earlier build does not hold" in forged.stderr) == (1, True)


def start_of(image: Path, wanted: uuid.UUID) -> int:
    """Offset in bytes of the partition with that UUID (UEFI specification, 5.3)."""
    with image.open("rb") as file:
        file.seek(512 + 72)
        table, count, size = struct.unpack("<QII", file.read(16))
        file.seek(table * 512)
        for _ in range(count):
            entry = file.read(size)
            if uuid.UUID(bytes_le=entry[16:32]) == wanted:
                return int(struct.unpack_from("<Q", entry, 32)[0]) * 512
    raise AssertionError(wanted)


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def boot_of(lab: Lab, host: Path, image: Path, *, seconds: float) -> FindingError:
    """Check a damaged image; the error says how far it came."""
    with lab.workspace() as work:
        making = Making(work)
        keys = work.keys
        subject = Subject(
            name="damaged",
            image=image,
            extension=lab.build("check") / "extension.raw",
            certificates=OwnerCertificates(*(keys.public_path(role) for role in (Role.PK, Role.KEK, Role.DB))),
            architecture=architecture_named("amd64"),
            root_hash=Manifest.model_validate_json((host / "manifest.json").read_bytes()).root_hash,
        )
        with pytest.raises(FindingError) as caught:
            check_image(subject, Accelerator.TCG, store=work.store, sandbox=making.sandbox, seconds=seconds)
    return caught.value


@pytest.fixture
def damaged(host: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "image.raw"
    copy_sparse(host / "image.raw", copy)
    return copy


def test_a_flipped_bit_in_the_root_stops_the_boot(lab: Lab, host: Path, damaged: Path) -> None:
    manifest = Manifest.model_validate_json((host / "manifest.json").read_bytes())
    assert manifest.root_hash is not None
    # The superblock of erofs: the first block that a mount reads.
    flip(damaged, start_of(damaged, uuid.UUID(manifest.root_hash[:32])) + 1024 + 200)
    error = boot_of(lab, host, damaged, seconds=150)
    words = f"{error} {error.details}"
    assert "verity" in words, words


def test_a_flipped_bit_in_the_kernel_image_is_refused_by_the_firmware(
    lab: Lab, host: Path, damaged: Path, tmp_path: Path
) -> None:
    uki = tmp_path / "uki.efi"
    shutil.copyfile(host / "uki.efi", uki)
    flip(uki, uki.stat().st_size // 2)
    esp_name = next(name for name in _esp_kernels(lab, damaged))
    with lab.workspace() as work:
        Making(work).sandbox.run(
            ["mcopy", "-o", "-i", "/job/image.raw@@1M", "/job/uki.efi", f"::/EFI/Linux/{esp_name}"],
            mounts=[Mount(damaged, "/job/image.raw", writable=True), Mount(uki, "/job/uki.efi")],
            timeout=60,
        )
    error = boot_of(lab, host, damaged, seconds=90)
    words = f"{error} {error.details}"
    assert "Access denied" in words or "Security" in words or "Access Denied" in words, words


def _esp_kernels(lab: Lab, image: Path) -> list[str]:
    with lab.workspace() as work:
        listing = Making(work).sandbox.run(
            ["mdir", "-b", "-i", "/job/image.raw@@1M", "::/EFI/Linux"],
            mounts=[Mount(image, "/job/image.raw")],
            timeout=60,
        )
    return [Path(line).name for line in listing.stdout.decode().split() if line.endswith(".efi")]
