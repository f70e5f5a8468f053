# SPDX-License-Identifier: Apache-2.0
"""What the guest reported, and readers of its forms (proc(5), networkctl(1), dmsetup(8)). Pure; nothing is trusted."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from zaffre.digest import JSON

_LISTENING = "0A"  # TCP_LISTEN, include/net/tcp_states.h
_UNCONNECTED = "07"  # TCP_CLOSE: a UDP socket that any sender may reach


@dataclass(frozen=True)
class Fact:
    """Exit status and output of what was asked in the guest."""

    status: int
    data: bytes

    @property
    def text(self) -> str:
        return self.data.decode("utf-8", "replace").strip()


MISSING = Fact(status=-1, data=b"")


@dataclass
class Facts:
    """Reports by boot and name; what never came is `MISSING`."""

    _by_boot: dict[tuple[int, str], Fact] = field(default_factory=dict)

    def add(self, message: Mapping[str, JSON]) -> None:
        """Takes a report of the form {"fact", "boot", "status", "data"}; anything else is left out."""
        name, boot, status, data = (message.get(key) for key in ("fact", "boot", "status", "data"))
        if not (isinstance(name, str) and isinstance(boot, int) and isinstance(status, int) and isinstance(data, str)):
            return
        try:
            self._by_boot[boot, name] = Fact(status, base64.b64decode(data, validate=True))
        except binascii.Error:
            return

    def add_outside(self, name: str, lines: Sequence[str] = ()) -> None:
        """What was seen from outside, which nobody in the guest reports."""
        self._by_boot[1, name] = Fact(0, "\n".join(lines).encode())

    def get(self, name: str, boot: int = 1) -> Fact:
        return self._by_boot.get((boot, name), MISSING)

    def last(self, boot: int | None = None) -> str | None:
        """The name of what was reported last (in that boot)."""
        return next((name for number, name in reversed(self._by_boot) if boot in {None, number}), None)

    def dump(self) -> dict[str, JSON]:
        """For a record of what was seen: {"1 name": [status, base64]}."""
        return {
            f"{boot} {name}": [fact.status, base64.b64encode(fact.data).decode()]
            for (boot, name), fact in self._by_boot.items()
        }


def properties(text: str) -> dict[str, str]:
    """Lines of KEY=VALUE."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def blocks(text: str) -> dict[str, dict[str, str]]:
    """`systemctl show` of several units: blocks of properties, by their Id."""
    found = (properties(block) for block in text.split("\n\n"))
    return {block["Id"]: block for block in found if "Id" in block}


@dataclass(frozen=True)
class MountPoint:
    target: str
    type: str
    source: str
    options: frozenset[str]


def mount_points(text: str) -> list[MountPoint]:
    """/proc/self/mountinfo; per-mount and file-system options together ("ro" of either is read-only)."""
    mounts = []
    for line in text.splitlines():
        head, found, tail = line.partition(" - ")
        before, after = head.split(), tail.split()
        if found and len(before) >= 6 and len(after) >= 3:
            options = frozenset(before[5].split(",")) | frozenset(after[2].split(","))
            mounts.append(MountPoint(before[4], after[0], after[1], options))
    return mounts


def memory_bytes(text: str) -> dict[str, int]:
    """/proc/meminfo in bytes."""
    out = {}
    for line in text.splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            out[name] = int(words[0]) * (1024 if words[1:] == ["kB"] else 1)
    return out


@dataclass(frozen=True)
class Listener:
    """An open door: protocol, address, port and the user number it belongs to."""

    protocol: str
    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    port: int
    user: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{self.protocol} {host}:{self.port}"


def listeners(protocol: str, text: str) -> Iterator[Listener]:
    """/proc/net/{tcp,tcp6,udp,udp6}: addresses are hexadecimal words in the host's (little) byte order."""
    wanted = _LISTENING if protocol.startswith("tcp") else _UNCONNECTED
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 7 and words[3] == wanted:
            address, _, port = words[1].partition(":")
            raw = bytes.fromhex(address)
            ordered = b"".join(raw[at : at + 4][::-1] for at in range(0, len(raw), 4))
            yield Listener(protocol.removesuffix("6"), ipaddress.ip_address(ordered), int(port, 16), int(words[7]))


def addresses(text: str) -> list[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    """Addresses of network cards, none of the loop-back ones, out of `networkctl --json=short status --all`."""
    try:
        interfaces = json.loads(text).get("Interfaces", [])
        found = [
            ipaddress.ip_interface((bytes(entry["Address"]), entry["PrefixLength"]))
            for interface in interfaces
            for entry in interface.get("Addresses", [])
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
    return [address for address in found if not address.is_loopback]


def settings_path(key: str) -> str:
    """The path below /proc/sys of a key of sysctl.d(5): the first separator says which one separates."""
    first = next((character for character in key if character in "./"), "/")
    return key if first == "/" else key.translate(str.maketrans("./", "/."))
