# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import base64
import struct
import uuid
from pathlib import Path

import pytest

from zaffre.definition import reference_root
from zaffre.errors import DefinitionError, IntegrityError
from zaffre.machine import (
    AMD64,
    Accelerator,
    DirectKernel,
    Disk,
    DiskFormat,
    Firmware,
    MachineSpec,
    Network,
    architecture_named,
)
from zaffre.machine.inject import UPDATE_UNIT, check_credentials, ready_credentials
from zaffre.machine.kernel import kernel_of
from zaffre.machine.spec import Channels, arguments

CHANNELS = Channels(console=10, monitor=11, notify=12, tpm=13)
FULL = MachineSpec(
    architecture=AMD64,
    accelerator=Accelerator.TCG,
    memory_mib=768,
    cpus=3,
    disks=(
        Disk("/run/machine/root,1.qcow2", DiskFormat.QCOW2, "root"),
        Disk("/run/images/check", DiskFormat.RAW, "zaffre-check", read_only=True),
    ),
    firmware=Firmware("/code.fd", "/run/machine/variables.fd"),
    network=Network.ISOLATED,
    tpm=True,
    credentials={"b": b"1,2", "a": b"\0\xff"},
    identity=uuid.UUID(int=7),
)


def options(spec: MachineSpec, name: str) -> list[str]:
    words = arguments(spec, CHANNELS)
    return [words[at + 1] for at, word in enumerate(words) if word == name]


def test_a_machine_has_nothing_but_what_is_named() -> None:
    words = arguments(FULL, CHANNELS)
    assert words[:3] == ["qemu-system-x86_64", "-nodefaults", "-no-user-config"]
    assert options(FULL, "-m") == ["768M"]
    assert options(FULL, "-smp") == ["3"]
    assert options(FULL, "-uuid") == [str(uuid.UUID(int=7))]
    assert "-no-reboot" not in words


def test_translation_uses_all_threads_and_all_features() -> None:
    assert options(FULL, "-accel") == ["tcg,thread=multi"]
    assert options(FULL, "-cpu") == [FULL.architecture.emulated_cpu]
    kvm = MachineSpec(architecture=AMD64, accelerator=Accelerator.KVM)
    assert (options(kvm, "-accel"), options(kvm, "-cpu")) == (["kvm"], ["host"])


def test_secure_boot_s_variables_are_guarded() -> None:
    assert options(FULL, "-machine") == ["q35,smm=on"]
    assert options(FULL, "-global") == ["driver=cfi.pflash01,property=secure,value=on"]
    code, variables = options(FULL, "-drive")
    assert "readonly=on" in code
    assert code.endswith("file=/code.fd")
    assert "readonly=off" in variables


def test_disks_are_in_order_with_their_serials() -> None:
    nodes = options(FULL, "-blockdev")
    assert "filename=/run/machine/root,,1.qcow2" in nodes[0], "a comma in a value is doubled"
    assert ["read-only=on" in node for node in nodes] == [False, False, True, True]
    devices = [device for device in options(FULL, "-device") if device.startswith("virtio-blk")]
    assert devices == [
        "virtio-blk-pci,drive=disk0,serial=root,bootindex=0",
        "virtio-blk-pci,drive=disk1,serial=zaffre-check",
    ]


def test_channels_are_inherited_descriptors() -> None:
    assert options(FULL, "-chardev") == [
        "socket,id=console,fd=10",
        "socket,id=monitor,fd=11",
        "socket,id=notify,fd=12",
        "socket,id=tpm,fd=13",
    ]
    assert not any("path=" in word for word in arguments(FULL, CHANNELS)), "no socket has a path"


def test_the_network_is_the_machine_s_own() -> None:
    assert options(FULL, "-netdev") == ["user,id=network,ipv4=on,ipv6=on,ipv6-net=fd5a:6166:6672:6500::/64"]
    assert options(MachineSpec(architecture=AMD64, accelerator=Accelerator.TCG), "-netdev") == []


def test_credentials_are_smbios_strings() -> None:
    assert options(FULL, "-smbios") == [
        f"type=11,value=io.systemd.credential.binary:a={base64.b64encode(bytes([0, 255])).decode()}",
        f"type=11,value=io.systemd.credential.binary:b={base64.b64encode(b'1,2').decode()}",
    ]


def test_a_direct_kernel_needs_no_firmware_and_no_smm() -> None:
    spec = MachineSpec(
        architecture=AMD64, accelerator=Accelerator.TCG, kernel=DirectKernel("/k", "quiet", "/i"), restarts=False
    )
    assert options(spec, "-machine") == ["q35"]
    assert (options(spec, "-kernel"), options(spec, "-append"), options(spec, "-initrd")) == (["/k"], ["quiet"], ["/i"])
    assert "-no-reboot" in arguments(spec, Channels(console=1, monitor=2))


def test_an_unknown_architecture_is_named() -> None:
    assert architecture_named("amd64") is AMD64
    with pytest.raises(DefinitionError, match="riscv64") as caught:
        architecture_named("riscv64")
    assert "amd64" in (caught.value.resolution or "")


def test_injected_units_run_once_the_system_is_up_and_never_in_the_initrd() -> None:
    given = ready_credentials()
    unit = given["systemd.extra-unit.zaffre-ready.service"].decode()
    assert "ConditionPathExists=!/etc/initrd-release" in unit
    assert "After=multi-user.target" in unit
    assert given["systemd.unit-dropin.multi-user.target~zaffre-ready"] == b"[Unit]\nWants=zaffre-ready.service\n"


def test_the_check_is_told_what_to_look_at() -> None:
    given = check_credentials(
        nonce="n", extension="probes", image_policy="root=signed", setting_paths=("net/a", "vm/b")
    )
    assert given["zaffre.sysctl"] == b"net/a\nvm/b\n"
    assert given["zaffre.start"].startswith(b"#!/bin/sh\n")
    assert {
        "zaffre.nonce": b"n",
        "zaffre.extension": b"probes",
        "zaffre.policy": b"root=signed",
    }.items() <= given.items()


def test_a_version_before_is_told_what_it_is_updated_to() -> None:
    given = check_credentials(
        nonce="n", extension="probes", image_policy="root=signed", setting_paths=(), update=("1.8", "1.9")
    )
    assert given["zaffre.update"] == b"1.8 1.9\n"
    assert b"\nSELinuxContext=-system_u:system_r:zaffre_agent_t:s0\n" in given[f"systemd.extra-unit.{UPDATE_UNIT}"]
    assert b"systemd-sysupdate update 1.9;" in given[f"systemd.extra-unit.{UPDATE_UNIT}"]
    assert given["zaffre.start"].index(b'if [ "$boot" = 0 ]') < given["zaffre.start"].index(b"systemd-sysext refresh")


def test_who_writes_the_next_version_is_shut_in_as_the_agent_is() -> None:
    given = check_credentials(nonce="n", extension="p", image_policy="", setting_paths=(), update=("1.8", "1.9"))
    agent = reference_root() / "files/agent/usr/lib/systemd/system/zaffre-agent.service"
    theirs, ours = (
        set(text.partition("[Service]\n")[2].splitlines())
        for text in (agent.read_text(), given[f"systemd.extra-unit.{UPDATE_UNIT}"].decode())
    )
    free = ("#", "Exec", " ", "SELinuxContext=", "TimeoutStartSec=", "Nice=", "IOSchedulingClass=")
    assert {one for one in theirs if one and not one.startswith(free)} == {
        one for one in ours if one and not one.startswith(free)
    }


def pe(sections: dict[bytes, bytes]) -> bytes:
    """The smallest PE file that has these sections (no optional header)."""
    head = b"MZ" + bytes(58) + struct.pack("<I", 64)
    coff = struct.pack("<4sHHIIIHH", b"PE\0\0", 0x8664, len(sections), 0, 0, 0, 0, 0)
    at = len(head) + len(coff) + 40 * len(sections)
    table, body = b"", b""
    for name, data in sections.items():
        padded = data + bytes(16)
        table += struct.pack("<8sIIIIIIHHI", name, len(data), 0, len(padded), at + len(body), 0, 0, 0, 0, 0)
        body += padded
    return head + coff + table + body


def test_the_kernel_inside_a_unified_image(tmp_path: Path) -> None:
    file = tmp_path / "image"
    file.write_bytes(pe({b".osrel": b"ID=x", b".linux": b"the kernel", b".initrd": b"the initrd"}))
    assert kernel_of(file) == b"the kernel"
    file.write_bytes(pe({b".text": b"code"}))
    assert kernel_of(file) is None, "a plain kernel is itself"


@pytest.mark.parametrize("data", [b"", b"ELF", b"MZ", b"MZ" + bytes(58) + b"\xff\xff\0\0", pe({b".linux": b"k"})[:90]])
def test_what_is_no_kernel_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "image").write_bytes(data)
    with pytest.raises(IntegrityError):
        kernel_of(tmp_path / "image")
