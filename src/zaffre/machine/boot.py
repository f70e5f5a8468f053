# SPDX-License-Identifier: Apache-2.0
"""An image made into a running machine: throw-away overlay, the owner's firmware, a TPM, credentials.

The image is only ever read: all that the guest writes goes to an overlay, which is gone with the machine. One that
is to be powered on again has its parts laid into a folder by `furnish`.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from zaffre.errors import WorldError
from zaffre.machine.accelerator import devices_for
from zaffre.machine.architecture import Architecture
from zaffre.machine.firmware import OwnerCertificates, enrolled_variables
from zaffre.machine.qemu import Machine, start
from zaffre.machine.spec import Accelerator, Disk, DiskFormat, Firmware, MachineSpec, Network
from zaffre.machine.tpm import software_tpm
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store

GIB = 1 << 30

_INSIDE = "/run/machine"
_TPM = "tpm"
_TOOL_SECONDS = 60.0


@dataclass(frozen=True)
class Guest:
    """What to boot. `disk_bytes` is what the guest sees, at least the image's size: /var grows into it.

    `disks` are read-only and found by serial (/dev/disk/by-id/virtio-<serial>). `forwards` are TCP ports of the guest
    by those of the host's loopback, for a guest on the host's network. `identity` is the machine's UUID in SMBIOS.
    """

    image: Path
    architecture: Architecture
    certificates: OwnerCertificates
    disks: Mapping[str, Path] = field(default_factory=dict)
    credentials: Mapping[str, bytes] = field(default_factory=dict)
    memory_mib: int = 1024
    cpus: int = 2
    disk_bytes: int = 4 * GIB
    network: Network = Network.ISOLATED
    forwards: Mapping[int, int] = field(default_factory=dict)
    identity: uuid.UUID = field(default_factory=uuid.uuid4)


def enlarge(machine: Machine, guest: Guest, more: int) -> None:
    """Makes the disk that the guest was booted from larger by `more` bytes, as a cloud does. Raises WorldError."""
    machine.query("block_resize", {"node-name": "disk0", "size": _disk_bytes(guest) + more})


def _disk_bytes(guest: Guest) -> int:
    return max(guest.disk_bytes, guest.image.stat().st_size)


@contextmanager
def boot(guest: Guest, accelerator: Accelerator, *, store: Store, sandbox: Sandbox) -> Iterator[Machine]:
    """The machine runs while the block does. Raises WorldError for an image that isn't there, ToolError."""
    with store.scratch("machine") as place:
        furnish(guest, place, store=store, sandbox=sandbox)
        with power_on(guest, accelerator, place, sandbox=sandbox) as machine:
            yield machine


def furnish(guest: Guest, place: Path, *, store: Store, sandbox: Sandbox) -> None:
    """Lays into a folder what a machine keeps while it is off: its disk, the firmware's variables, its TPM. Raises
    WorldError for an image that isn't there, ToolError.
    """
    for path in (guest.image, *guest.disks.values()):
        if not path.is_file():
            raise WorldError("the file is not there", where=str(path), resolution="build the image first")
    variables = enrolled_variables(guest.certificates, guest.architecture, store=store, sandbox=sandbox)
    shutil.copyfile(variables, place / "variables.fd")
    (place / _TPM).mkdir()
    sandbox.run(
        [
            *("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "/run/images/root"),
            *(f"{_INSIDE}/root.qcow2", str(_disk_bytes(guest))),
        ],
        mounts=_mounts(guest, place),
        timeout=_TOOL_SECONDS,
    )


@contextmanager
def power_on(guest: Guest, accelerator: Accelerator, place: Path, *, sandbox: Sandbox) -> Iterator[Machine]:
    """The machine whose parts `furnish` laid there. It is off when the block ends, and can be powered on again."""
    spec = MachineSpec(
        architecture=guest.architecture,
        accelerator=accelerator,
        memory_mib=guest.memory_mib,
        cpus=guest.cpus,
        disks=(
            Disk(f"{_INSIDE}/root.qcow2", DiskFormat.QCOW2, "root"),
            *(Disk(f"/run/images/{serial}", DiskFormat.RAW, serial, read_only=True) for serial in guest.disks),
        ),
        firmware=Firmware(guest.architecture.firmware, f"{_INSIDE}/variables.fd"),
        network=guest.network,
        forwards=guest.forwards,
        tpm=True,
        credentials=guest.credentials,
        identity=guest.identity,
    )
    with software_tpm(place / _TPM, sandbox) as tpm:
        machine = start(
            spec,
            sandbox,
            mounts=_mounts(guest, place),
            network=guest.network is Network.HOST,
            devices=devices_for(accelerator),
            tpm=tpm,
        )
        with machine:
            yield machine


def _mounts(guest: Guest, place: Path) -> list[Mount]:
    return [
        Mount(place, _INSIDE, writable=True),
        Mount(guest.image, "/run/images/root"),
        *(Mount(path, f"/run/images/{serial}") for serial, path in guest.disks.items()),
    ]
