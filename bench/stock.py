# SPDX-License-Identifier: Apache-2.0
"""A stock Debian with the same kernel, containerd and packages, on a disk that the same machine boots.

Stock means Debian's own defaults: the base system (packages of priority "important" and up), on it the packages that
our image asks for with those that they recommend, the initrd of initramfs-tools with its settings, a writable
ext4 root that is checked at boot, and every service as its package leaves it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from debstrap import make_root
from lab import Lab
from stockdisk import ROOT_UUID, make_disk

from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.solving import SetRequest

_EXTRA = ("initramfs-tools",)
_BASE, _INSTALLED = "stock base", "stock"


def stock_requests(indexes: Indexes, architecture: str, asked: Iterable[str]) -> Iterable[SetRequest]:
    """The base system, as Debian's own installers choose it, and what apt then installs by its defaults."""
    base = packages_of(indexes, architecture, "required", "important")
    yield SetRequest(_BASE, base, architecture)
    yield SetRequest(_INSTALLED, tuple(sorted({*asked, *_EXTRA})), architecture, recommends=True)


def packages_of(indexes: Indexes, architecture: str, *priorities: str) -> tuple[str, ...]:
    """Names of the packages that the archive gives one of these priorities, sorted."""
    marks = [f"\nPriority: {priority}\n".encode() for priority in priorities]
    return tuple(
        sorted(
            {
                name
                for index in indexes.universe(architecture).indexes
                for name, blocks in index.stanzas.items()
                if any(mark in block for block in blocks for mark in marks)
            }
        )
    )


def make_stock_disk(lab: Lab, repository: Path) -> Path:
    """A disk image in the lab's folder. Raises BenchError, ToolError."""
    folder = lab.folder / "stock"
    packages = sorted({*lab.sets[_BASE], *lab.sets[_INSTALLED]})
    make_root(lab, repository, folder, packages, variant="essential", recommends=False)
    root = folder / "root"
    # As Debian's installer writes it.
    (root / "etc/fstab").write_text(f"PARTUUID={ROOT_UUID} / ext4 errors=remount-ro 0 1\n")
    (root / "etc/hostname").write_text("stock\n")
    (root / "etc/machine-id").write_text("")
    # What Debian's boot loader gives, and the console that QEMU has.
    arguments = f"ro quiet console={lab.architecture.console}"
    return make_disk(lab, root, folder, arguments=arguments, size="2G", unified=True)
