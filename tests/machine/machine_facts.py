# SPDX-License-Identifier: Apache-2.0
"""The facts that a sound container host reports, for tests to spoil one at a time."""

from __future__ import annotations

import base64
import json

from support.measured import log_of, prediction
from support.measured import sound as sound_boot
from zaffre.machine.facts import Facts
from zaffre.machine.judging import Expectations
from zaffre.measured.eventlog import ZERO, read_log, replay

NONCE = "0123456789abcdef0123456789abcdef"
ROOT_HASH = "7918dcf152cb" + "5a" * 26
MACHINE_ID = "fe2e2270c078412cb6e0d90914291b70"
BOOT_IDS = {1: "c655d888-0d88-48d7-9ca1-b384035f9c86", 2: "0d885555-0d88-48d7-9ca1-b384035f9c86"}
CERTIFICATES = {"PK": b"\x30\x01PK", "KEK": b"\x30\x02KEK", "db": b"\x30\x03db"}
EXPECTED = Expectations(
    nonce=NONCE,
    root_hash=ROOT_HASH,
    settings={"net.ipv4.ip_forward": "1", "net.ipv4.ping_group_range": "0 2147483647"},
    modules=("overlay", "br_netfilter", "ext4"),
    certificates=CERTIFICATES,
    prediction=prediction(),
)

Report = tuple[int, bytes]

LOG = log_of(sound_boot())

_MOUNTS = b"""\
61 1 254:0 / / ro,relatime shared:1 - erofs /dev/mapper/root ro,user_xattr,acl,cache_strategy=readaround
91 61 0:34 / /etc rw,relatime shared:2 - overlay overlay rw,lowerdir=/sysroot/etc,upperdir=/run/zaffre/etc/upper
44 61 0:6 / /dev rw,nosuid shared:4 - devtmpfs devtmpfs rw,size=4096k,nr_inodes=111432,mode=755,inode64
"""
_VERITY_TABLE = f"0 336112 verity 1 253:2 253:3 4096 4096 42014 1 sha256 {ROOT_HASH} 9b6db4fc\n".encode()
_NETWORK = json.dumps(
    {
        "Interfaces": [
            {"Name": "lo", "Addresses": [{"Family": 2, "Address": [127, 0, 0, 1], "PrefixLength": 8}]},
            {
                "Name": "enp0s4",
                "Addresses": [
                    {"Family": 2, "Address": [10, 0, 2, 15], "PrefixLength": 24},
                    {"Family": 10, "Address": [0xFE, 0x80, *[0] * 13, 1], "PrefixLength": 64},
                    {"Family": 10, "Address": [0xFD, 0x5A, *[0] * 13, 1], "PrefixLength": 64},
                ],
            },
        ]
    }
).encode()
_CONTAINERD = b"""\
version = 2
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.crun.options]
  BinaryName = "/usr/bin/crun"
  SystemdCgroup = true
"""
_TCP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:14EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990        0 3374 1
   1: 3600007F:0035 00000000:0000 0A 00000000:00000000 00:00000000 00000000   990        0 2622 1
   2: 0F02000A:9999 00000000:0000 01 00000000:00000000 00:00000000 00000000   990        0 2620 1
"""


def registers(log: bytes) -> bytes:
    """As the kernel shows them when that was measured."""
    values = replay(read_log(log))
    return "".join(f"{number}={values.get(number, ZERO).upper()}\n" for number in range(24)).encode()


def verdict(boot: int) -> bytes:
    """That of one of the sound boots."""
    told = {"version": "1", "boot": BOOT_IDS[boot], "checks": [{"name": "root", "status": 0, "seconds": 1}]}
    return json.dumps(told).encode()


def sound() -> dict[tuple[int, str], Report]:
    """By boot and name."""
    both: dict[str, Report] = {
        "system.state": (0, b"running\n"),
        "system.failed": (0, b""),
        "system.times": (
            0,
            (
                b"FirmwareTimestampMonotonic=0\nLoaderTimestampMonotonic=0\nInitRDTimestampMonotonic=2000000\n"
                b"UserspaceTimestampMonotonic=5000000\nFinishTimestampMonotonic=15500000\n"
            ),
        ),
        "system.units": (
            0,
            (
                b"Id=multi-user.target\nActiveState=active\nActiveEnterTimestampMonotonic=15000000\n\n"
                b"Id=containerd.service\nActiveState=active\nActiveEnterTimestampMonotonic=14000000\n"
            ),
        ),
        "machine-id": (0, f"{MACHINE_ID}\n".encode()),
    }
    first: dict[str, Report] = {
        "boot-id": (0, f"{BOOT_IDS[1]}\n".encode()),
        "system.memory": (0, b"MemTotal:         951412 kB\nMemAvailable:     740356 kB\nHugePages_Total:       0\n"),
        "system.release": (0, b'PRETTY_NAME="Zaffre Linux 1"\nID=zaffre\n'),
        "system.kernel": (0, b"6.12.0-cloud-amd64\n"),
        "system.command-line": (0, f"roothash={ROOT_HASH} ro console=ttyS0\n".encode()),
        "system.mounts": (0, _MOUNTS),
        "system.services": (
            0,
            b"containerd.service loaded active running C\nsystemd-logind.service loaded active running L\n",
        ),
        "system.time": (
            0,
            (
                b"Id=systemd-timesyncd.service\nLoadState=loaded\nActiveState=active\n\n"
                b"Id=chrony.service\nLoadState=not-found\nActiveState=inactive\n"
            ),
        ),
        "verity.status": (0, b"0 336112 verity V\n"),
        "verity.table": (0, _VERITY_TABLE),
        "usr.write": (2, b"start: 51: cannot create /usr/.zaffre-check: Read-only file system"),
        "root.remount": (32, b"mount: /: cannot remount /dev/mapper/root read-write, is write-protected.\n"),
        "root.write": (2, b"sh: 1: cannot create /.zaffre-check: Read-only file system\n"),
        "efi.SecureBoot": (0, b"\x06\0\0\0\x01"),
        "efi.SetupMode": (0, b"\x06\0\0\0\0"),
        **{f"efi.{name}": (0, b"\x27\0\0\0list" + der + b"end") for name, der in CERTIFICATES.items()},
        "kernel.settings": (0, b"net/ipv4/ip_forward=1\nnet/ipv4/ping_group_range=0\t2147483647\n"),
        "kernel.modules": (0, b"overlay 217088 0 - Live 0x0\nbr_netfilter 32768 0 - Live 0x0\n"),
        "kernel.builtin": (0, b"kernel/fs/ext4/ext4.ko\n"),
        "kernel.lsm": (0, b"lockdown,capability,apparmor"),
        "kernel.lockdown": (0, b"none [integrity] confidentiality\n"),
        "selinux.enforce": (1, b"cat: /sys/fs/selinux/enforce: No such file or directory\n"),
        "kernel.inputs": (0, b'I: Bus=0019\nN: Name="Power Button"\nH: Handlers=kbd event0\nB: EV=3\n'),
        "tpm.version": (0, b"2\n"),
        "tpm.registers": (0, registers(LOG)),
        "tpm.log": (0, LOG),
        "network.links": (0, _NETWORK),
        "network.resolver": (0, b"Global:\nLink 2 (enp0s4): 10.0.2.3 fd5a::3\n"),
        "listening.tcp": (0, _TCP),
        "container.import": (0, b"unpacking zaffre.local/probe:1 (sha256:4e9a)...done\n"),
        "container.source": (0, b"zaffre.local/probe:1\n"),
        "container.unit": (
            0,
            b"Slice=system.slice\nControlGroup=/system.slice/zaffre-probe.scope\nActiveState=active\n",
        ),
        "container.run": (
            0,
            f"nonce {NONCE}\npid 1\nkernel 6.12.0\nnetwork net:[4026532267]\ninterface lo\nready\n".encode(),
        ),
        "host.network-namespace": (0, b"net:[4026531840]\n"),
        "containerd.config": (0, _CONTAINERD),
        "etc.write": (0, NONCE.encode()),
        "var.write": (0, NONCE.encode()),
        "var.size": (0, b"800000 4096\n"),
    }
    second: dict[str, Report] = {
        "boot-id": (0, f"{BOOT_IDS[2]}\n".encode()),
        "etc.kept": (1, b"cat: /etc/zaffre-check-volatile: No such file or directory\n"),
        "var.kept": (0, NONCE.encode()),
        "var.size": (0, b"1062144 4096\n"),
    }
    return {
        **{(1, name): report for name, report in (both | first).items()},
        **{(2, name): report for name, report in (both | second).items()},
    }


def facts(reports: dict[tuple[int, str], Report]) -> Facts:
    out = Facts()
    for (boot, name), (status, data) in reports.items():
        out.add({"fact": name, "boot": boot, "status": status, "data": base64.b64encode(data).decode()})
    return out


def spoilt(name: str, data: bytes | None, *, status: int = 0, boot: int = 1) -> Facts:
    """Sound, but for one report that says something else, or (None) never came."""
    reports = sound()
    if data is None:
        del reports[boot, name]
    else:
        reports[boot, name] = (status, data)
    return facts(reports)
