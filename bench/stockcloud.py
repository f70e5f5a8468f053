# SPDX-License-Identifier: Apache-2.0
"""The like of Debian 13's cloud image "genericcloud", made here since nobody can fetch one without a network.

Source: Debian's own recipe, https://salsa.debian.org/cloud-team/debian-cloud-images, a FAI configuration: the base
system by `debootstrap --variant minbase`, then `config_space/13/package_config/*` of the classes that
`src/debian_cloud_images/resources/image.yaml` gives release trixie and vendor genericcloud on amd64: SYSTEM_BOOT,
CLOUD, GENERIC, EXTRAS, AMD64, LINUX_VERSION_BASE, LINUX_VARIANT_CLOUD, TIME_SYSTEMD. All of them say `install-norec`:
no package comes because another one recommends it. Settings are those of the recipe too: fstab, units, the default
user, what is cleaned; the kernel's arguments are those that its boot loader's package brings. Read on 2026-11-26.

Ours is what comes before the kernel (`stockdisk.py`): GRUB's disk is made on a mounted one, which takes the real root.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from debstrap import make_root
from lab import Lab
from measure import BenchError
from stock import packages_of
from stockdisk import ESP_UUID, ROOT_UUID, make_disk

from zaffre.sandbox import Mount
from zaffre.upstream.deb.index import Indexes
from zaffre.upstream.solving import SetRequest

_SET = "stock cloud image"
_MINBASE = ("apt",)
"""What minbase has besides the packages of priority "required"."""
_CLASSES = {
    "SYSTEM_BOOT": (
        *("sudo", "libpam-systemd", "systemd-resolved", "libnss-resolve", "libnss-myhostname", "netplan.io"),
        *("polkitd", "unattended-upgrades", "apparmor", "zstd", "apt-utils", "init", "iptables", "iputils-ping"),
        *("linux-sysctl-defaults", "less", "nano", "netbase", "vim-tiny", "whiptail"),
    ),
    "TIME_SYSTEMD": ("systemd-timesyncd",),
    "CLOUD": ("openssh-server", "ssh-import-id", "cloud-initramfs-growroot"),
    "GENERIC": ("cloud-init", "cloud-guest-utils"),
    "EXTRAS": (
        *("apt-listchanges", "bash-completion", "bind9-host", "less", "man-db", "manpages", "socat", "pciutils"),
        *("reportbug", "traceroute", "vim", "psmisc", "tcpdump", "ca-certificates", "curl", "ethtool"),
        *("uuid-runtime", "screen", "xz-utils"),
    ),
    "AMD64": ("linux-image-cloud-amd64", "grub-cloud-amd64", "dosfstools"),
}
_UNITS = ("systemd-networkd.service", "systemd-resolved.service")
_FSTAB = f"""\
PARTUUID={ROOT_UUID} / ext4 rw,discard,errors=remount-ro,x-systemd.growfs 0 1
PARTUUID={ESP_UUID} /boot/efi vfat defaults 0 2
"""
_CLOUD = """\
apt:
  generate_mirrorlists: true
system_info:
  default_user:
    name: debian
    gecos: Debian
    lock_passwd: true
    shell: /bin/bash
    groups: [adm, audio, cdrom, dialout, dip, floppy, plugdev, sudo, video]
    sudo: ["ALL=(ALL) NOPASSWD:ALL"]
"""
_GRUB_LINE = re.compile(r'^(GRUB_CMDLINE_LINUX(?:_DEFAULT)?)="(.*)"$', re.MULTILINE)
_SECONDS = 120.0
_SIZE = "3G"


def cloud_requests(indexes: Indexes, architecture: str) -> Iterable[SetRequest]:
    """All packages of the image, in one set."""
    if architecture != "amd64":
        raise BenchError("the stock cloud image is known for amd64 alone")
    names = {*packages_of(indexes, architecture, "required"), *_MINBASE}
    yield SetRequest(_SET, tuple(sorted(names.union(*_CLASSES.values()))), architecture)


def make_cloud_disk(lab: Lab, repository: Path) -> Path:
    """A disk image in the lab's folder. Raises BenchError, ToolError."""
    folder = lab.folder / "stock-cloud"
    make_root(lab, repository, folder, sorted(lab.sets[_SET]), variant="essential", recommends=False)
    root = folder / "root"
    (root / "etc/fstab").write_text(_FSTAB)
    (root / "etc/cloud/cloud.cfg.d/01_debian_cloud.cfg").write_text(_CLOUD)
    lab.sandbox.run(
        ["systemctl", "--root=/run/target", "enable", *_UNITS],
        mounts=[Mount(root, "/run/target", writable=True)],
        timeout=_SECONDS,
    )
    _clean(root)
    return make_disk(lab, root, folder, arguments=f"ro {grub_arguments(root)}", size=_SIZE, unified=False)


def grub_arguments(root: Path) -> str:
    """What its boot loader would give the kernel besides the root (/etc/default/grub, a shell file)."""
    files = [root / "etc/default/grub", *sorted((root / "etc/default/grub.d").glob("*.cfg"))]
    found = {name: words for path in files for name, words in _GRUB_LINE.findall(path.read_text())}
    return " ".join(words for _, words in sorted(found.items()) if words)


def _clean(root: Path) -> None:
    """What belongs to one machine, as the recipe's cleanup has it."""
    for name in ("etc/hostname", "etc/machine-id"):
        (root / name).write_text("")
    (root / "boot/efi").mkdir(parents=True, exist_ok=True)
    gone = [root / "var/lib/dbus/machine-id", *(root / "etc/ssh").glob("ssh_host_*"), *(root / "var/log").glob("*.log")]
    for path in gone:
        path.unlink(missing_ok=True)
