# SPDX-License-Identifier: Apache-2.0
"""The files by which a host is updated in its second slot, and judges its own boots.

Pure: an image in, a mapping of paths to contents out. What a boot goes through, none of it on the way to
multi-user.target (ADR 30):

1. systemd-boot takes a try off the name of a kernel image that is on trial, before it starts it;
2. multi-user.target is reached, or the machine restarts after a time;
3. zaffre-boot-complete.timer then starts boot-complete.target, which requires zaffre-health.service: the checks;
4. of a boot on trial that is not healthy, zaffre-trial.service fails, and by that the machine restarts;
5. of one that is healthy, systemd-bless-boot.service takes the count off the kernel image's name.

With `update.every_boot`, the count is put back after that, and a version that was good once is not on trial: it has its
count back although its checks fail, as it came up.

Sources: sysupdate.d(5), systemd-boot(7), systemd-bless-boot.service(8), systemd.special(7).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources

from zaffre.definition import Image
from zaffre.slots import INCOMING, INSTANCES, slot_label

TRANSFERS = "usr/lib/sysupdate.d"
HOOKS = "usr/lib/zaffre/health.d"
HEALTH_PROGRAM = "usr/lib/zaffre/health"
LOADER_VENDOR = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f"
"""Of the variables by which boot loader and system speak (systemd.io/BOOT_LOADER_INTERFACE)."""
COUNTED = f"/sys/firmware/efi/efivars/LoaderBootCountPath-{LOADER_VENDOR}"
"""Is there when the boot loader counts this boot."""

_UNITS = "usr/lib/systemd/system"
ESP_CHECK = r"systemd-fsck@dev-disk-by\x2dpartlabel-esp.service"


def update_files(image: Image, image_id: str) -> Mapping[str, str]:
    """Contents by relative path, a value that begins with `->` being a link's target; none for a host without tries.

    `image_id` is IMAGE_ID of os-release.
    """
    tries = image.update.tries
    if not tries:
        return {}
    again = str(tries) if image.update.every_boot else ""
    return {
        f"{TRANSFERS}/10-root-verity.transfer": _partition(image.name, "root.verity", "root-verity"),
        f"{TRANSFERS}/20-root.transfer": _partition(image.name, "root.erofs", "root"),
        # The last in order: a boot entry is there when its root is.
        f"{TRANSFERS}/90-uki.transfer": _uki(image.name, image_id, tries),
        f"{_UNITS}/boot.mount": _ESP_MOUNT,
        f"{_UNITS}/boot.automount": _ESP_AUTOMOUNT,
        f"{_UNITS}/zaffre-boot-complete.timer": _TIMER,
        f"{_UNITS}/multi-user.target.wants/zaffre-boot-complete.timer": "->../zaffre-boot-complete.timer",
        f"{_UNITS}/multi-user.target.d/10-zaffre.conf": _BOOT_LIMIT,
        f"{_UNITS}/zaffre-health.service": _HEALTH,
        f"{_UNITS}/boot-complete.target.requires/zaffre-health.service": "->../zaffre-health.service",
        f"{_UNITS}/zaffre-trial.service": _TRIAL.format(again=f" {again}" if again else ""),
        f"{_UNITS}/boot-complete.target.requires/zaffre-trial.service": "->../zaffre-trial.service",
        f"{_UNITS}/systemd-bless-boot.service.d/10-zaffre.conf": _BLESS + (_ARM.format(again=again) if again else ""),
        f"{_UNITS}/boot-complete.target.wants/systemd-bless-boot.service": "->../systemd-bless-boot.service",
        HEALTH_PROGRAM: resources.files("zaffre.image").joinpath("scripts", "health.sh").read_text(),
    }


def _partition(image: str, file: str, kind: str) -> str:
    """`@u` of the source becomes the partition's UUID, by which the initrd finds it. The disk is that of the root:
    "auto" would ask for that of /usr, which has none while an extension lies over it (systemd 257).
    """
    return (
        f"{_TRANSFER}\n[Source]\nType=regular-file\nPath={INCOMING}\n"
        f"MatchPattern={slot_label(image, '@v')}_@u.{file}\n"
        f"\n[Target]\nType=partition\nPath=/\nMatchPattern={slot_label(image, '@v')}\n"
        f"MatchPartitionType={kind}\nReadOnly=yes\nInstancesMax={INSTANCES}\n"
    )


def _uki(image: str, image_id: str, tries: int) -> str:
    name = f"{image_id}_@v"
    return (
        f"{_TRANSFER}\n[Source]\nType=regular-file\nPath={INCOMING}\n"
        f"MatchPattern={slot_label(image, '@v')}.uki.efi\n"
        f"\n[Target]\nType=regular-file\nPath=/EFI/Linux\nPathRelativeTo=esp\n"
        f"MatchPattern={name}+@l-@d.efi {name}+@l.efi {name}.efi\n"
        f"Mode=0644\nTriesLeft={tries}\nTriesDone=0\nInstancesMax={INSTANCES}\n"
    )


# What runs is never overwritten. Where files come from is verified by whoever puts them there.
_TRANSFER = "[Transfer]\nProtectVersion=%A\n"

# FAT has no journal: when the power fails while it is written, it can be such that the kernel makes it read-only at the
# next write, and from then on the host has no further update. So it is mended before it is mounted, once in each boot.
_ESP_MOUNT = f"""\
[Unit]
Description=EFI system partition
Wants={ESP_CHECK}
After={ESP_CHECK}

[Mount]
What=/dev/disk/by-partlabel/esp
Where=/boot
Type=vfat
Options=umask=0077,nodev,nosuid,noexec,nosymfollow
"""

# Mounted while somebody looks at it: what is not mounted is not damaged when the power fails.
_ESP_AUTOMOUNT = """\
[Unit]
Description=EFI system partition, when it is looked at

[Automount]
Where=/boot
TimeoutIdleSec=30s
"""

# A timer, so that all of this is a transaction of its own, after the boot.
_TIMER = """\
[Unit]
Description=The health of this boot, when the system is up
DefaultDependencies=no
After=multi-user.target
Conflicts=shutdown.target
Before=shutdown.target

[Timer]
OnActiveSec=0
AccuracySec=1ms
Unit=boot-complete.target
"""

_BOOT_LIMIT = """\
# A boot that hangs comes to nobody's notice, and to no end.
[Unit]
JobTimeoutSec=15min
JobTimeoutAction=reboot
"""

# What no check of a system's health has to do, though checks are whoever's: they look, and change nothing in the
# kernel. A bounding set costs no time at a start. A host without SELinux passes over its context.
_LESS = """\
SELinuxContext=-system_u:system_r:zaffre_health_t:s0
NoNewPrivileges=yes
CapabilityBoundingSet=~CAP_SYS_MODULE CAP_SYS_RAWIO CAP_SYS_BOOT CAP_SYS_TIME CAP_SYSLOG CAP_SYS_PACCT
CapabilityBoundingSet=~CAP_AUDIT_CONTROL CAP_LINUX_IMMUTABLE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_SETFCAP CAP_WAKE_ALARM
"""

_HEALTH = f"""\
[Unit]
Description=Health of this boot
Wants=boot.automount
After=boot.automount multi-user.target
Before=boot-complete.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh /usr/lib/zaffre/health check
TimeoutStartSec=15min
SyslogIdentifier=zaffre-health
{_LESS}"""

_TRIAL = f"""\
[Unit]
Description=A boot on trial goes on only if it is healthy
ConditionPathExists={COUNTED}
After=zaffre-health.service
Before=boot-complete.target
FailureAction=reboot

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=sh /usr/lib/zaffre/health gate{{again}}
TimeoutStartSec=2min
SyslogIdentifier=zaffre-health
{_LESS}"""

_BLESS = f"""\
[Unit]
ConditionPathExists={COUNTED}
Wants=boot.automount
After=boot.automount
"""

_ARM = """
[Service]
ExecStartPost=sh /usr/lib/zaffre/health arm {again}
"""
