# SPDX-License-Identifier: Apache-2.0
"""The real systemd-sysupdate, of the locked upstream, fed by the agent: a disk image with two slots, and an ESP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from support.lab import Lab
from support.nodes import Layers, Seat
from support.nodes import Slots as Fake
from support.releases import Yard, leave_check, make_build, sign_build
from zaffre.agent.home import Home
from zaffre.agent.host import Machine
from zaffre.agent.settings import Settings
from zaffre.agent.source import Folder
from zaffre.agent.sysupdate import PROGRAM, Slots
from zaffre.cli.making import Making
from zaffre.errors import ToolError
from zaffre.offer import Act
from zaffre.sandbox import Mount, Sandbox
from zaffre.sandbox.command import Request, bwrap_arguments
from zaffre.sandbox.namespace import current_privilege
from zaffre.slots import entry_name, incoming_names, root_uuids, slot_label
from zaffre.tree import package_files

pytestmark = pytest.mark.tools

IMAGE_ID = "zaffre-host"
ROOT, VERITY = "4f68bce3-e8cd-4db1-96e7-fbcaf984b709", "2c7357ed-ebd2-46d9-aec1-23d437ec2bf5"


@pytest.fixture(scope="session")
def programs(lab: Lab, tools_sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`/usr/lib/systemd` of the tools tree with what updates, from the package that hosts have."""
    systemd = tmp_path_factory.mktemp("sysupdate") / "systemd"
    shutil.copytree(tools_sandbox.tools.root / "usr/lib/systemd", systemd, symlinks=True)
    with lab.workspace() as work:
        making = Making(work)
        locked = making.lock.set("container-host", "amd64").packages
        package = next(one for one in locked if one.name == "systemd-sysupdate")
        making.fetch([package])
        files = package_files(
            [package],
            upstream=work.distribution.upstreams["debian"],
            store=work.store,
            sandbox=tools_sandbox,
            progress=work.progress,
        )
        for name in ("systemd-import", "systemd-sysupdate"):
            files[package.name].take(f"/usr/lib/systemd/{name}", systemd / name, key="extract")
    return systemd


def transfers(running: str) -> dict[str, str]:
    """As a host has them in /usr/lib/sysupdate.d, with other places."""
    source = "Type=regular-file\nPath=/job/agent/incoming\nMatchPattern="
    head = f"[Transfer]\nProtectVersion={running}\n"
    found = {
        name: f"{head}\n[Source]\n{source}{slot_label('host', '@v')}_@u.{file}\n\n[Target]\nType=partition\n"
        f"Path=/job/disk.img\nMatchPattern={slot_label('host', '@v')}\nMatchPartitionType={kind}\nReadOnly=yes\n"
        "InstancesMax=2\n"
        for name, file, kind in (
            ("10-root-verity", "root.verity", "root-x86-64-verity"),
            ("20-root", "root.erofs", "root-x86-64"),
        )
    }
    entry = f"{IMAGE_ID}_@v"
    found["90-uki"] = (
        f"{head}\n[Source]\n{source}{slot_label('host', '@v')}.uki.efi\n\n[Target]\nType=regular-file\n"
        f"Path=/EFI/Linux\nPathRelativeTo=esp\nMatchPattern={entry}+@l-@d.efi {entry}+@l.efi {entry}.efi\n"
        "Mode=0644\nTriesLeft=3\nTriesDone=0\nInstancesMax=2\n"
    )
    return found


CUT = """\
#!/bin/sh
# Writes the kernel image, and then there is nobody left who would know of it.
/usr/lib/systemd/real-import "$@" || exit
case "$*" in *EFI/Linux*) kill -9 "$PPID" ;; esac
"""


@dataclass
class Disk(Fake):
    """A host whose slots are real; what it runs and whether that is blessed is said by the test."""

    job: Path = field(default_factory=Path)
    programs: Path = field(default_factory=Path)
    sandbox: Sandbox = field(default_factory=lambda: Sandbox(None))

    def versions(self) -> tuple[str, ...]:
        return self.real.versions()

    def installed(self, version: str) -> bool:
        return self.real.installed(version)

    def stage(self, version: str) -> None:
        Machine(self.job / "root", self.real).stage(version)

    def forget(self, version: str) -> None:
        Machine(self.job / "root").forget(version)

    @property
    def real(self) -> Slots:
        definitions = self.job / "definitions"
        for name, text in transfers(self.running).items():
            (definitions / f"{name}.transfer").write_text(text)
        request = Request(
            argv=[PROGRAM, "--definitions=/job/definitions"],
            tools=self.sandbox.tools,
            root=None,
            privilege=current_privilege(),
            mounts=[Mount(self.programs, "/usr/lib/systemd"), Mount(self.job, "/job", writable=True)],
            env={"SYSTEMD_ESP_PATH": "/job/root/boot", "SYSTEMD_RELAX_ESP_CHECKS": "1"},
        )
        return Slots(tuple(bwrap_arguments(request, bwrap=shutil.which("bwrap") or "bwrap")))

    def partitions(self) -> list[dict[str, object]]:
        done = self.sandbox.run(
            ["sfdisk", "--json", "/job/disk.img"], mounts=[Mount(self.job, "/job", writable=True)], timeout=30
        )
        return list(json.loads(done.stdout)["partitiontable"]["partitions"])

    def content(self, label: str, kind: str, size: int) -> bytes:
        one = next(one for one in self.partitions() if one["name"] == label and str(one["type"]).lower() == kind)
        with (self.job / "disk.img").open("rb") as file:
            file.seek(int(str(one["start"])) * 512)
            return file.read(size)

    @property
    def kernels(self) -> set[str]:
        return {path.name for path in (self.job / "root/boot/EFI/Linux").iterdir()}


@pytest.fixture
def seat(yard: Yard, programs: Path, tools_sandbox: Sandbox, tmp_path: Path) -> Iterator[Seat]:
    """A node that runs 1.1 from its first slot; the other one is empty."""
    job = tmp_path / "job"
    for folder in ("definitions", "root/boot/EFI/Linux", "root/etc"):
        (job / folder).mkdir(parents=True)
    (job / "root/etc/os-release").write_text(f"ID=zaffre\nIMAGE_ID={IMAGE_ID}\nIMAGE_VERSION=1.1\n")
    (job / "root/boot/EFI/Linux" / entry_name(IMAGE_ID, "1.1")).write_bytes(b"the first")
    with (job / "disk.img").open("wb") as file:
        file.truncate(12 << 20)
    slots = [(ROOT, "2MiB"), (ROOT, "2MiB"), (VERITY, "1MiB"), (VERITY, "1MiB")]
    names = [slot_label("host", "1.1"), "_empty"] * 2
    table = "label: gpt\n" + "".join(
        f"size={size}, type={kind}, name={name}\n" for (kind, size), name in zip(slots, names, strict=True)
    )
    mounts = [Mount(job, "/job", writable=True)]
    tools_sandbox.run(["sfdisk", "-q", "/job/disk.img"], mounts=mounts, stdin=table.encode(), timeout=30)
    home = Home(job / "agent")
    disk = Disk(home.incoming, "1.1", job=job, programs=programs, sandbox=tools_sandbox)
    settings = Settings(place=str(yard.repo), channel="dev")
    yield Seat(yard, disk, Layers(job / "layers"), home, Folder(yard.repo), settings)
    shutil.rmtree(job)


def publish(yard: Yard, version: str, root_hash: str) -> None:
    """A release whose files are as large as those of slots may be."""
    build = make_build(yard.root / "out", yard.owner, version)
    (build / "root.erofs").write_bytes(os.urandom(1 << 20))
    (build / "root.verity").write_bytes(os.urandom(64 << 10))
    (build / "uki.efi").write_bytes(os.urandom(1 << 20))
    sign_build(build, yard.owner, version=version, root_hash=root_hash)
    leave_check(build, yard.owner)
    yard.publish(version)


def test_slots_are_filled_in_turn_by_what_was_verified(seat: Seat) -> None:
    disk = seat.slots
    assert isinstance(disk, Disk)
    seat.yard.revoke("1.2")
    publish(seat.yard, "1.3", "ab" * 32)
    assert disk.versions() == ("1.1",)
    assert seat.agent.run().act is Act.RESTART
    payload = seat.payload("1.3")
    assert disk.content("host_1.3", ROOT, 1 << 20) == payload["root.erofs"]
    assert disk.content("host_1.3", VERITY, 64 << 10) == payload["root.verity"]
    assert disk.kernels == {"zaffre-host_1.1.efi", "zaffre-host_1.3+3-0.efi"}
    data, tree = root_uuids("ab" * 32)
    uuids = {
        str(one["type"]).lower(): uuid.UUID(str(one["uuid"])) for one in disk.partitions() if one["name"] == "host_1.3"
    }
    assert uuids == {ROOT: data, VERITY: tree}

    # It did not come up; an order gives it all its tries again.
    entries = disk.job / "root/boot/EFI/Linux"
    (entries / "zaffre-host_1.3+3-0.efi").rename(entries / "zaffre-host_1.3+0-3.efi")
    disk.boot += 1
    assert seat.agent.run().act is Act.STAY
    seat.agent.order("1.3")
    assert seat.agent.run().act is Act.RESTART
    assert disk.kernels == {"zaffre-host_1.1.efi", "zaffre-host_1.3+3-0.efi"}

    # It came up. The next one takes the slot of the oldest, and never that which runs.
    (entries / "zaffre-host_1.3+3-0.efi").rename(entries / "zaffre-host_1.3.efi")
    disk.running, disk.boot = "1.3", disk.boot + 1
    publish(seat.yard, "1.4", "cd" * 32)
    assert seat.agent.run().version == "1.4"
    assert {one["name"] for one in disk.partitions()} == {"host_1.3", "host_1.4"}
    assert disk.content("host_1.3", ROOT, 1 << 20) == payload["root.erofs"]
    assert disk.kernels == {"zaffre-host_1.3.efi", "zaffre-host_1.4+3-0.efi"}


def test_what_systemd_sysupdate_could_not_finish_is_done_again(seat: Seat, tmp_path: Path) -> None:
    """Its own helper is missing, so that it fails after it has made room. Trap 6: a half slot counts for nothing."""
    disk = seat.slots
    assert isinstance(disk, Disk)
    publish(seat.yard, "1.3", "ab" * 32)
    whole = disk.programs
    disk.programs = Path(shutil.copytree(whole, tmp_path / "broken", symlinks=True))
    (disk.programs / "systemd-import").unlink()
    with pytest.raises(ToolError, match=r"could not write 1\.3"):
        seat.agent.run()
    assert disk.kernels == {"zaffre-host_1.1.efi"}
    assert not disk.installed("1.3")
    assert disk.installed("1.1")
    disk.programs = whole
    lying = {path.name for path in seat.home.incoming.iterdir()}
    assert lying == set(incoming_names("host", "1.3", "ab" * 32).values())
    assert seat.agent.run().act is Act.RESTART
    assert disk.installed("1.3")


def test_what_was_cut_off_on_the_esp_takes_no_room(seat: Seat, small_disk: Path, tmp_path: Path) -> None:
    """Power cuts while kernel images are written: each leaves a file of a new name, and there is room for one more."""
    disk = seat.slots
    assert isinstance(disk, Disk)
    publish(seat.yard, "1.3", "ab" * 32)
    whole = disk.programs
    disk.programs = Path(shutil.copytree(whole, tmp_path / "cut", symlinks=True))
    program = disk.programs / "systemd-import"
    program.rename(disk.programs / "real-import")
    program.write_text(CUT)
    program.chmod(0o755)
    with esp_on(small_disk, seat) as esp:
        entries = esp / "EFI/Linux"
        (esp / "others").write_bytes(bytes(shutil.disk_usage(esp).free - (5 << 19)))  # 2.5 MiB are left
        (esp / "FSCK0000.REC").write_bytes(bytes(1 << 20))
        for _ in range(3):
            with pytest.raises(ToolError, match=r"could not write 1\.3"):
                seat.agent.run()
            assert sum(path.stat().st_size for path in entries.glob(".*")) == 1 << 20
        disk.programs = whole
        assert seat.agent.run().act is Act.RESTART
        assert {path.name for path in entries.iterdir()} == {"zaffre-host_1.1.efi", "zaffre-host_1.3+3-0.efi"}
        assert {path.name for path in esp.iterdir()} == {"EFI", "others"}
        assert disk.installed("1.3")


@contextmanager
def esp_on(disk: Path, seat: Seat) -> Iterator[Path]:
    """The node's ESP is that file system, with what it had."""
    assert isinstance(seat.slots, Disk)
    esp = seat.slots.job / "root/boot"
    shutil.copytree(esp, disk, dirs_exist_ok=True)
    subprocess.run(["mount", "--bind", disk, esp], check=True)
    try:
        yield esp
    finally:
        subprocess.run(["umount", "--lazy", esp], check=True)


def test_an_esp_that_is_full_keeps_what_boots_and_is_told(seat: Seat, small_disk: Path) -> None:
    """Somebody else filled it. Nothing half is left on it, and the next run is through when there is room."""
    disk = seat.slots
    assert isinstance(disk, Disk)
    publish(seat.yard, "1.3", "ab" * 32)
    with esp_on(small_disk, seat) as esp:
        free = shutil.disk_usage(esp).free
        (esp / "others").write_bytes(bytes(free - (512 << 10)))
        with pytest.raises(ToolError, match=r"could not write 1\.3"):
            seat.agent.run()
        assert disk.kernels == {"zaffre-host_1.1.efi"}
        assert disk.installed("1.1")
        assert not disk.installed("1.3")
        assert "could not write 1.3" in str(seat.home.last["problem"])
        with pytest.raises(ToolError):
            seat.agent.run()
        assert {path.name for path in (esp / "EFI/Linux").iterdir()} == {"zaffre-host_1.1.efi"}
        (esp / "others").unlink()
        assert seat.agent.run().act is Act.RESTART
        assert disk.kernels == {"zaffre-host_1.1.efi", "zaffre-host_1.3+3-0.efi"}
        assert disk.installed("1.3")
