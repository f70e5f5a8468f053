# SPDX-License-Identifier: Apache-2.0
"""A stock Debian with the same kernel, containerd and packages, on a disk that the same machine boots.

Stock means Debian's own defaults: the base system (packages of priority "important" and up), on it the packages that
our image asks for with those that they recommend, the initrd of initramfs-tools with its settings, a writable
ext4 root that is checked at boot, and every service as its package leaves it.

Only what comes before the kernel is ours, so that both start in the same way: a signed UKI by systemd-boot
under Secure Boot. What a boot takes is counted from the kernel's start.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from pathlib import Path

from debstrap import make_root
from lab import Lab
from measure import BenchError

from zaffre.image import uki
from zaffre.sandbox import Mount
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.solving import SetRequest

_ROOT_UUID = uuid.uuid5(uuid.NAMESPACE_OID, "zaffre bench stock root")
_SECONDS = 600.0
_IMPORTANT = (b"\nPriority: required\n", b"\nPriority: important\n")
_EXTRA = ("initramfs-tools",)
_BASE, _INSTALLED = "stock base", "stock"


def stock_requests(indexes: Indexes, architecture: str, asked: Iterable[str]) -> Iterable[SetRequest]:
    """The base system, as Debian's own installers choose it, and what apt then installs by its defaults."""
    important = {
        name
        for index in indexes.universe(architecture).indexes
        for name, blocks in index.stanzas.items()
        if any(mark in block for block in blocks for mark in _IMPORTANT)
    }
    yield SetRequest(_BASE, tuple(sorted(important)), architecture)
    yield SetRequest(_INSTALLED, tuple(sorted({*asked, *_EXTRA})), architecture, recommends=True)


def make_stock_disk(lab: Lab, repository: Path) -> Path:
    """A disk image in the lab's folder. Raises BenchError, ToolError."""
    folder = lab.folder / "stock"
    packages = sorted({*lab.sets[_BASE], *lab.sets[_INSTALLED]})
    make_root(lab, repository, folder, packages, variant="essential", recommends=False)
    root = folder / "root"
    # As Debian's installer writes it.
    (root / "etc/fstab").write_text(f"PARTUUID={_ROOT_UUID} / ext4 errors=remount-ro 0 1\n")
    (root / "etc/hostname").write_text("stock\n")
    (root / "etc/machine-id").write_text("")
    esp = _stage_esp(lab, root, folder)
    definitions = folder / "repart.d"
    definitions.mkdir()
    (definitions / "10-esp.conf").write_text(
        "[Partition]\nType=esp\nFormat=vfat\nCopyFiles=/run/esp:/\nSizeMinBytes=256M\nSizeMaxBytes=256M\n"
    )
    (definitions / "20-root.conf").write_text(
        "[Partition]\nType=root\nFormat=ext4\nCopyFiles=/run/target:/\nSizeMinBytes=2G\nSizeMaxBytes=2G\n"
        f"UUID={_ROOT_UUID}\n"
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


def _stage_esp(lab: Lab, root: Path, folder: Path) -> Path:
    versions = [path.name.removeprefix("vmlinuz-") for path in (root / "boot").glob("vmlinuz-*")]
    if len(versions) != 1:
        raise BenchError(f"the stock root has {len(versions)} kernels, not one")
    version = versions[0]
    esp = folder / "esp"
    loader = esp / uki.boot_loader_path(lab.architecture.name)
    for place in (loader.parent, esp / "EFI/Linux", esp / "loader"):
        place.mkdir(parents=True)
    (esp / "loader/loader.conf").write_text("timeout 0\n")
    uki.sign_boot_loader(
        loader, architecture=lab.architecture.name, keys=lab.keys, epoch=lab.epoch, sandbox=lab.sandbox
    )
    uki.build_uki(
        esp / "EFI/Linux/stock.efi",
        kernel=root / f"boot/vmlinuz-{version}",
        kernel_version=version,
        initrd=root / f"boot/initrd.img-{version}",
        os_release=root / "usr/lib/os-release",
        # What Debian's boot loader gives, and the console that QEMU has.
        arguments=f"root=PARTUUID={_ROOT_UUID} ro quiet console={lab.architecture.console}",
        architecture=lab.architecture.name,
        keys=lab.keys,
        epoch=lab.epoch,
        scratch=folder,
        sandbox=lab.sandbox,
    )
    return esp
