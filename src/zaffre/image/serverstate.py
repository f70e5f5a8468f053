# SPDX-License-Identifier: Apache-2.0
"""The generated files of a server: how its initrd finds the root, and how the root takes the whole disk.

Pure. The root is found by the Discoverable Partitions Specification: the partition of the type "root" on the disk whose
ESP the boot loader came from (systemd-gpt-auto-generator(8)). A second disk made from the same image is no rival then,
as one would be that is found by a label or a UUID. The generator mounts the ESP too, when somebody looks into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from zaffre.definition import Distribution, Image
from zaffre.image.state import NO_JOURNAL, UDEV_ENDS

INSTALL_POLICY = "usr/lib/zaffre/install-policy"
PACKAGED_POLICY = "usr/lib/zaffre/selinux"
SERVER_LINKS: Mapping[str, str] = {
    f"usr/lib/systemd/system/sysinit.target.wants/{name}": f"->../{name}"
    for name in ("zaffre-relabel.service", "zaffre-unlabelled.service")
}
"""What goes with `server_root_files`: with or without a policy, since a kernel that had one may be fallen back to."""

_UNITS = "usr/lib/systemd/system"


def server_initrd_files() -> Mapping[str, str]:
    """By relative path; a content that begins with `->` is the target of a link."""
    return {
        "etc/systemd/system.conf.d/10-zaffre.conf": NO_JOURNAL,
        **UDEV_ENDS,
        f"{_UNITS}/emergency.service": _EMERGENCY_SERVICE,
        f"{_UNITS}/initrd.target.wants/initrd-cleanup.service": "->../initrd-cleanup.service",
    }


def server_root_files(distribution: Distribution, image: Image, keyring: bytes | None) -> Mapping[str, bytes]:
    """Of the package that has the definition's files. Raises as `package_manager_files` does."""
    return {
        INSTALL_POLICY: resources.files("zaffre.image").joinpath("scripts", "install-policy.sh").read_bytes(),
        f"{_UNITS}/zaffre-relabel.service": _RELABEL_SERVICE.encode(),
        f"{_UNITS}/zaffre-unlabelled.service": _UNLABELLED_SERVICE.encode(),
        "usr/lib/repart.d/50-root.conf": _REPART_ROOT.format(minimum=image.disk.root).encode(),
        **package_manager_files(distribution, image, keyring),
    }


def policy_package_files(policy: Mapping[str, bytes]) -> Mapping[str, bytes]:
    """A policy, by path below /etc/selinux, as the package brings it for INSTALL_POLICY."""
    return {f"{PACKAGED_POLICY}/{path}": content for path, content in policy.items()}


def package_manager_files(distribution: Distribution, image: Image, keyring: bytes | None) -> Mapping[str, bytes]:
    """What the package manager is told. With a channel, `keyring` has the repository's public key.

    Raises DefinitionError for a channel that the distribution's repository has not got.
    """
    return {"etc/apt/apt.conf.d/50zaffre": _APT.encode(), **repository_files(distribution, image, keyring)}


def repository_files(distribution: Distribution, image: Image, keyring: bytes | None) -> Mapping[str, bytes]:
    """Where the package manager of an image gets packages, and whom it trusts: nothing without a channel.

    Raises DefinitionError for a channel that the distribution's repository has not got.
    """
    if image.channel is None or keyring is None:
        return {}
    return {
        f"etc/apt/sources.list.d/{distribution.identity.id}.sources": distribution.apt_sources(image.channel).encode(),
        distribution.archive_keyring.lstrip("/"): keyring,
    }


# A machine that waits for a password nobody has is lost; one that restarts comes to the kernel before.
_EMERGENCY_SERVICE = """\
[Unit]
Description=The root could not be found or mounted: the machine restarts
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=systemctl --force --no-block reboot
"""

_REPART_ROOT = """\
# repart.d(5): the root takes what its disk has.
[Partition]
Type=root
SizeMinBytes={minimum}
GrowFileSystem=yes
"""

# A kernel without SELinux on a server that has had a policy, or SELINUX=disabled.
_UNLABELLED_SERVICE = """\
[Unit]
Description=Remember that what is written now has no SELinux labels
ConditionSecurity=!selinux
ConditionPathExists=/etc/selinux/default
ConditionPathIsReadWrite=/etc/selinux
DefaultDependencies=no
After=systemd-remount-fs.service
Before=systemd-tmpfiles-setup.service sysinit.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=touch /etc/selinux/.relabel
"""

_RELABEL_SERVICE = """\
[Unit]
Description=SELinux labels for what was written without, and a restart
ConditionPathExists=/etc/selinux/.relabel
ConditionSecurity=selinux
DefaultDependencies=no
After=local-fs.target
Before=systemd-tmpfiles-setup.service sysinit.target
Conflicts=shutdown.target

[Service]
Type=oneshot
ExecStart=sh /usr/lib/zaffre/install-policy again
StandardOutput=journal+console
"""

_APT = """\
// The system is upgraded as a whole: what an upgrade needs more is installed, and what it replaces is removed.
APT::Get::Upgrade-Allow-New "true";
APT::Install-Recommends "false";
APT::Install-Suggests "false";
"""
