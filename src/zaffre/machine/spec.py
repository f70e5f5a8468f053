# SPDX-License-Identifier: Apache-2.0
"""A machine as a value, and QEMU's arguments from it. Pure.

All paths are those inside the sandbox; channels are file descriptors that QEMU inherits, so no path and
no socket of the host is in the arguments. Sources: qemu(1) of version 10; systemd.system-credentials(7)
for credentials in SMBIOS strings of type 11.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from zaffre.machine.architecture import Architecture

NOTIFY_PORT = "org.zaffre.notify"
"""Name of the virtio port on which a guest reports; udev gives it as /dev/virtio-ports/<name>."""

_IPV6_NETWORK = "fd5a:6166:6672:6500::/64"
"""A unique local prefix (RFC 4193). QEMU's own default, fec0::/64, is of a scope that RFC 3879 took out of use."""


class Accelerator(StrEnum):
    """How guest code is run: by the processor's virtualisation, or translated."""

    KVM = "kvm"
    TCG = "tcg"


class DiskFormat(StrEnum):
    RAW = "raw"
    QCOW2 = "qcow2"


class Network(StrEnum):
    """NONE: no card. ISOLATED: a card with DHCP and IPv6 router advertisements that leads nowhere. HOST: by way of
    the host's network.
    """

    NONE = "none"
    ISOLATED = "isolated"
    HOST = "host"


@dataclass(frozen=True)
class Disk:
    """A virtio disk. `serial` makes /dev/disk/by-id/virtio-<serial> in the guest (at most 20 characters)."""

    path: str
    format: DiskFormat
    serial: str
    read_only: bool = False


@dataclass(frozen=True)
class Firmware:
    """UEFI: the code, and this machine's own copy of the variables."""

    code: str
    variables: str


@dataclass(frozen=True)
class DirectKernel:
    """A kernel started by QEMU itself, without firmware of the guest's."""

    kernel: str
    command_line: str
    initrd: str | None = None


@dataclass(frozen=True)
class MachineSpec:
    """The first disk is booted from. With `restarts` False a reset of the guest ends the machine.

    `forwards` are TCP ports of the guest by those of the host's loopback that lead there.
    """

    architecture: Architecture
    accelerator: Accelerator
    memory_mib: int = 1024
    cpus: int = 2
    disks: tuple[Disk, ...] = ()
    firmware: Firmware | None = None
    kernel: DirectKernel | None = None
    network: Network = Network.NONE
    forwards: Mapping[int, int] = field(default_factory=dict)
    tpm: bool = False
    credentials: Mapping[str, bytes] = field(default_factory=dict)
    identity: uuid.UUID | None = None
    restarts: bool = True


@dataclass(frozen=True)
class Channels:
    """File descriptors of connected stream sockets that QEMU inherits."""

    console: int
    monitor: int
    notify: int | None = None
    tpm: int | None = None


def arguments(spec: MachineSpec, channels: Channels) -> list[str]:
    """QEMU's argv. Nothing of the host's configuration and no default device takes part."""
    return [
        spec.architecture.program,
        "-nodefaults",
        "-no-user-config",
        "-display",
        "none",
        *_processor(spec),
        *(["-uuid", str(spec.identity)] if spec.identity else []),
        *([] if spec.restarts else ["-no-reboot"]),
        *_channels(channels),
        *_start(spec),
        *_disks(spec.disks),
        *_network(spec.network, spec.forwards),
        *_tpm(spec, channels),
        # Enough entropy at once; a guest that waits for it boots late.
        "-device",
        "virtio-rng-pci",
        *_credentials(spec.credentials),
    ]


def _processor(spec: MachineSpec) -> list[str]:
    if spec.accelerator is Accelerator.KVM:
        accelerator = ["-accel", "kvm", "-cpu", "host"]
    else:
        accelerator = ["-accel", "tcg,thread=multi", "-cpu", spec.architecture.emulated_cpu]
    # SMM is for the firmware; a machine without firmware does without.
    machine = spec.architecture.machine if spec.firmware else spec.architecture.machine.split(",")[0]
    return [*accelerator, "-machine", machine, "-smp", str(spec.cpus), "-m", f"{spec.memory_mib}M"]


def _channels(channels: Channels) -> list[str]:
    out = [
        *("-chardev", f"socket,id=console,fd={channels.console}", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=monitor,fd={channels.monitor}", "-mon", "chardev=monitor,mode=control"),
    ]
    if channels.notify is not None:
        out += [
            *("-device", "virtio-serial-pci"),
            *("-chardev", f"socket,id=notify,fd={channels.notify}"),
            *("-device", f"virtserialport,chardev=notify,name={NOTIFY_PORT}"),
        ]
    return out


def _start(spec: MachineSpec) -> list[str]:
    out: list[str] = []
    if spec.firmware:
        for unit, (path, read_only) in enumerate(((spec.firmware.code, "on"), (spec.firmware.variables, "off"))):
            out += ["-drive", f"if=pflash,unit={unit},format=raw,readonly={read_only},file={_value(path)}"]
        if spec.architecture.guarded_flash:
            out += ["-global", "driver=cfi.pflash01,property=secure,value=on"]
    if spec.kernel:
        out += ["-kernel", spec.kernel.kernel, "-append", spec.kernel.command_line]
        if spec.kernel.initrd:
            out += ["-initrd", spec.kernel.initrd]
    return out


def _disks(disks: tuple[Disk, ...]) -> list[str]:
    out: list[str] = []
    for index, disk in enumerate(disks):
        read_only = "on" if disk.read_only else "off"
        # The overlay is thrown away, so flushes need not reach the host's disk.
        file = f"driver=file,node-name=file{index},filename={_value(disk.path)},read-only={read_only}"
        node = f"driver={disk.format},node-name=disk{index},file=file{index},read-only={read_only}"
        caching = ",cache.no-flush=on,discard=unmap"
        device = f"virtio-blk-pci,drive=disk{index},serial={_value(disk.serial)}"
        if index == 0:
            device += ",bootindex=0"
        out += ["-blockdev", file + caching, "-blockdev", node + caching, "-device", device]
    return out


def _network(network: Network, forwards: Mapping[int, int]) -> list[str]:
    if network is Network.NONE:
        return []
    doors = "".join(f",hostfwd=tcp:127.0.0.1:{outside}-:{within}" for outside, within in sorted(forwards.items()))
    return [
        *("-netdev", f"user,id=network,ipv4=on,ipv6=on,ipv6-net={_IPV6_NETWORK}{doors}"),
        # No option ROM: the firmware must not try to boot from the network.
        *("-device", "virtio-net-pci,netdev=network,romfile="),
    ]


def _tpm(spec: MachineSpec, channels: Channels) -> list[str]:
    if channels.tpm is None:
        return []
    return [
        *("-chardev", f"socket,id=tpm,fd={channels.tpm}"),
        *("-tpmdev", "emulator,id=tpm,chardev=tpm"),
        *("-device", f"{spec.architecture.tpm_device},tpmdev=tpm"),
    ]


def _credentials(credentials: Mapping[str, bytes]) -> list[str]:
    out: list[str] = []
    for name, content in sorted(credentials.items()):
        encoded = base64.b64encode(content).decode()
        out += ["-smbios", f"type=11,value={_value(f'io.systemd.credential.binary:{name}={encoded}')}"]
    return out


def _value(text: str) -> str:
    """A value within a comma-separated option: a comma is written twice."""
    return text.replace(",", ",,")
