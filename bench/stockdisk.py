# SPDX-License-Identifier: Apache-2.0
"""A stock root with its own kernel and initrd becomes a disk that our firmware starts under Secure Boot.

Only what comes before the kernel is ours: systemd-boot, and the owner's signature. What a boot takes is counted from
the kernel's start.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path

from lab import Lab
from measure import BenchError

from zaffre.image import uki
from zaffre.sandbox import Mount

ROOT_UUID = uuid.uuid5(uuid.NAMESPACE_OID, "zaffre bench stock root")
ESP_UUID = uuid.uuid5(uuid.NAMESPACE_OID, "zaffre bench stock esp")
"""PARTUUIDs, for /etc/fstab."""

_SECONDS = 600.0


def make_disk(lab: Lab, root: Path, folder: Path, *, arguments: str, size: str, unified: bool) -> Path:
    """A disk image `folder`/disk/stock.raw with the directory tree `root` on an ext4 file system of `size`.

    `arguments`: the kernel's, after `root=`. With `unified`, kernel and initrd are one signed file, as our images have
    it, and systemd does for it what it does for a kernel that was measured; else two files, as GRUB would take them.
    Raises BenchError, ToolError.
    """
    esp = _stage_esp(lab, root, folder, f"root=PARTUUID={ROOT_UUID} {arguments}", unified=unified)
    definitions = folder / "repart.d"
    definitions.mkdir()
    (definitions / "10-esp.conf").write_text(
        "[Partition]\nType=esp\nFormat=vfat\nCopyFiles=/run/esp:/\nSizeMinBytes=256M\nSizeMaxBytes=256M\n"
        f"UUID={ESP_UUID}\n"
    )
    (definitions / "20-root.conf").write_text(
        f"[Partition]\nType=root\nFormat=ext4\nCopyFiles=/run/target:/\nSizeMinBytes={size}\nSizeMaxBytes={size}\n"
        f"UUID={ROOT_UUID}\n"
    )
    output = folder / "disk"
    output.mkdir()
    lab.sandbox.run(
        [
            *(
                "systemd-repart",
                "--empty=create",
                "--size=auto",
                "--sector-size=512",
                "--offline=yes",
                "--dry-run=no",
                "--no-pager",
            ),
            *("--pretty=no", "--definitions=/run/repart.d", "/run/disk/stock.raw"),
        ],
        mounts=[
            Mount(definitions, "/run/repart.d"),
            Mount(output, "/run/disk", writable=True),
            Mount(esp, "/run/esp"),
            Mount(root, "/run/target"),
        ],
        env={"TMPDIR": "/run/disk"},
        timeout=_SECONDS,
    )
    return output / "stock.raw"


def _stage_esp(lab: Lab, root: Path, folder: Path, arguments: str, *, unified: bool) -> Path:
    versions = [path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*")]
    if len(versions) != 1:
        raise BenchError(f"the stock root has {len(versions)} kernels, not one")
    version = versions[0]
    kernel, initrd = root / f"boot/vmlinuz-{version}", root / f"boot/initrd.img-{version}"
    esp = folder / "esp"
    loader = esp / uki.boot_loader_path(lab.architecture.name)
    for place in (loader.parent, esp / "EFI/Linux", esp / "loader/entries", esp / "stock"):
        place.mkdir(parents=True)
    (esp / "loader/loader.conf").write_text("timeout 0\n")
    uki.sign_boot_loader(
        loader, architecture=lab.architecture.name, keys=lab.keys, epoch=lab.epoch, sandbox=lab.sandbox
    )
    if unified:
        uki.build_uki(
            esp / "EFI/Linux/stock.efi",
            kernel=kernel,
            kernel_version=version,
            initrd=initrd,
            os_release=root / "usr/lib/os-release",
            arguments=arguments,
            architecture=lab.architecture.name,
            keys=lab.keys,
            epoch=lab.epoch,
            scratch=folder,
            sandbox=lab.sandbox,
        )
        return esp
    uki.sign_pe(kernel, esp / "stock/linux", keys=lab.keys, epoch=lab.epoch, sandbox=lab.sandbox)
    shutil.copyfile(initrd, esp / "stock/initrd")
    # Boot Loader Specification, type #1.
    (esp / "loader/entries/stock.conf").write_text(
        f"title Stock\nlinux /stock/linux\ninitrd /stock/initrd\noptions {arguments}\n"
    )
    return esp
