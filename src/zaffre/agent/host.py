# SPDX-License-Identifier: Apache-2.0
"""The host as the agent sees it: what it is, whether its boot is blessed, its two slots, and how to restart it.

`Host` is all that the agent knows of a machine. `Machine` is the real one, by systemd's own programs.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from zaffre.agent.commands import run
from zaffre.agent.files import sync_folder
from zaffre.agent.health import FOLDER as HEALTH
from zaffre.agent.health import fell_back, health_of
from zaffre.agent.sysupdate import Slots
from zaffre.errors import DefinitionError
from zaffre.slots import entry_name, root_uuids

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_ENTRIES = "boot/EFI/Linux"
"""Where kernel images lie: the ESP is mounted at /boot while somebody looks at it."""
_LEFT = ("boot/EFI/Linux/.#sysupdate*", "boot/FSCK[0-9][0-9][0-9][0-9].REC")
"""What updates that were cut off leave on the ESP: systemd-sysupdate writes under a name that is new each time, and
forgets it when it is killed; and fsck.fat(8) makes files of what belongs to none. A few of them, and the ESP is full.
"""
_BY_UUID = "dev/disk/by-partuuid"
_PARTITIONS = {"root.erofs": 0, "root.verity": 1}
"""Which of the UUIDs of `root_uuids` is that of the partition."""
_ROOT_HASH = re.compile(r"(?:^|\s)roothash=([0-9a-f]{64})(?=\s|$)")
BLESSED: Final = ("good", "clean")
"""What systemd-bless-boot(8) says of a boot that nothing more is awaited of."""


@dataclass(frozen=True)
class Identity:
    """`product` is `<image>-<architecture>`, as releases have it; `node` is derived from the machine's id and says
    nothing of it, and is never sent; `boot` is the kernel's id of this boot, without hyphens.
    """

    version: str
    product: str
    node: str
    boot: str

    @property
    def architecture(self) -> str:
        return self.product.rpartition("-")[2]


class Host(Protocol):
    def identity(self) -> Identity:
        """Raises DefinitionError for a host that does not say what it is."""
        ...

    def blessed(self) -> bool:
        """Whether the running boot is known to be good. Not, when that cannot be found out."""
        ...

    def fell_back(self) -> frozenset[str]:
        """Versions that did not come up here, as the host's own checks say."""
        ...

    def versions(self) -> tuple[str, ...]:
        """What is in the slots, whole or in part. Raises ToolError when that cannot be found out."""
        ...

    def installed(self, version: str) -> bool:
        """Whether all of a version is in a slot."""
        ...

    def source(self, file: str) -> Path | None:
        """Where a file of the running version can be read again; None when that is not known."""
        ...

    def stage(self, version: str) -> None:
        """Write what was handed over into the slot that does not run. Raises ToolError."""
        ...

    def forget(self, version: str) -> None:
        """Take away what would boot that version, which does not run."""
        ...

    def restart(self) -> None:
        """Begin a restart. Raises ToolError."""
        ...


class Machine:
    """`root` is where the host's files are."""

    def __init__(self, root: Path = Path("/"), slots: Slots | None = None) -> None:
        self._root = root
        self._slots = slots or Slots()

    def identity(self) -> Identity:
        release = _os_release(self._root)
        image = release.get("IMAGE_ID", "").removeprefix(f"{release.get('ID', '')}-")
        version = release.get("IMAGE_VERSION", "")
        machine_id = self._text("etc/machine-id")
        if not image or not version or not re.fullmatch("[0-9a-f]{32}", machine_id):
            raise DefinitionError(
                "the host does not say which image and version it is, or has no machine id",
                where=str(self._root),
                resolution="IMAGE_ID and IMAGE_VERSION in os-release, and /etc/machine-id, must be there",
            )
        machine = os.uname().machine
        return Identity(
            version=version,
            product=f"{image}-{_ARCHITECTURES.get(machine, machine)}",
            node=hashlib.sha256(f"zaffre node {machine_id}".encode()).hexdigest(),
            boot=self._text("proc/sys/kernel/random/boot_id").replace("-", ""),
        )

    def blessed(self) -> bool:
        done = run("/usr/lib/systemd/systemd-bless-boot", "status", seconds=30)
        mine = self.identity()
        if (done.code or done.out.strip() not in BLESSED) and not self._has_tries_again(mine.version):
            return False
        health = health_of(mine.version, self._root / HEALTH.relative_to("/"))
        return health.verdict != "failed" or health.boot != mine.boot

    def fell_back(self) -> frozenset[str]:
        return fell_back(self._root / HEALTH.relative_to("/"))

    def versions(self) -> tuple[str, ...]:
        return self._slots.versions()

    def installed(self, version: str) -> bool:
        return self._slots.installed(version)

    def source(self, file: str) -> Path | None:
        """Partitions themselves, and not the device over them that verifies: a node whose root is damaged where nobody
        reads it is to find that out, and not to panic.
        """
        if file == "uki.efi":
            entries = self._entries(self.identity().version)
            return entries[0] if len(entries) == 1 else None
        found = _ROOT_HASH.search(self._text("proc/cmdline"))
        if found is None or file not in _PARTITIONS:
            return None
        return self._root / _BY_UUID / str(root_uuids(found[1])[_PARTITIONS[file]])

    def stage(self, version: str) -> None:
        for path in [path for pattern in _LEFT for path in self._root.glob(pattern)]:
            path.unlink()
            sync_folder(path.parent)
        self._slots.update(version)
        os.sync()  # What is said to be whole from now on is so after a power cut, too.

    def forget(self, version: str) -> None:
        """systemd-sysupdate has no command for that, and bootctl(1) unlinks by names that differ by counters: the file
        of the boot loader's entry is removed, in each form that its counters give it.
        """
        for path in self._entries(version):
            path.unlink()
        place = self._root / _ENTRIES
        if place.is_dir():
            sync_folder(place)

    def restart(self) -> None:
        run("systemctl", "reboot", seconds=60).require("the host does not restart")

    def _has_tries_again(self, version: str) -> bool:
        """On a host that counts every boot: the boot loader takes one when it starts an entry, so one of which none is
        taken got them back afterwards.
        """
        return any(re.search(r"\+\d+\.efi$", path.name) for path in self._entries(version))

    def _entries(self, version: str) -> list[Path]:
        name = entry_name(_os_release(self._root).get("IMAGE_ID", ""), version).removesuffix(".efi")
        entry = re.compile(rf"{re.escape(name)}(\+\d+(-\d+)?)?\.efi")
        place = self._root / _ENTRIES
        return [path for path in sorted(place.iterdir()) if entry.fullmatch(path.name)] if place.is_dir() else []

    def _text(self, path: str) -> str:
        try:
            return (self._root / path).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""


def _os_release(root: Path) -> dict[str, str]:
    """os-release(5), as it is written by `zaffre build`."""
    for path in ("etc/os-release", "usr/lib/os-release"):
        try:
            lines = (root / path).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            continue
        pairs = [line.partition("=") for line in lines if "=" in line and not line.startswith("#")]
        return {key.strip(): value.strip().strip("\"'") for key, _, value in pairs}
    return {}
