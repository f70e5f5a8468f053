# SPDX-License-Identifier: Apache-2.0
"""An encrypted `/var`: what the initrd has besides, so that the machine's TPM unlocks it for what the owner signed.

Pure: an image in, files out. The order of a boot, between the root and the mount of `/var` (see `state`):

1. systemd-pcrphase-initrd.service extends PCR 11, in which systemd-stub has measured the parts of the kernel image,
   by "enter-initrd";
2. systemd-repart.service makes the partition at the first boot, as LUKS2 with a random key that is sealed to the TPM;
   at each later one it lets the partition take the room that the disk has gained: once it is mapped, only who has its
   key could let the mapping grow;
3. zaffre-unlock-var.service has the TPM unseal the key, and maps the partition;
4. when the root takes over, PCR 11 is extended by "leave-initrd", and nothing gets the key any more.

The key is sealed under two conditions. PCR 11 has a value that the owner's PCR key signed (TPM2_PolicyAuthorize): each
kernel image brings the signature over its own. And PCRs 7 and 12 are what they were at the first boot. PCR 7 is the
state of Secure Boot: what PCR 11 holds is public, so that a loader which firmware starts without asking could extend it
likewise. PCR 12 is what systemd-stub took from beside the kernel image, such as credentials on the ESP, which is
nobody's to protect: one of them (fstab.extra) mounts what it likes.

Nothing here falls back to another way: without TPM or signature the machine restarts, and boot counting takes the other
version. Who wants to read a disk without its TPM gives a recovery key when the partition is made, by a credential:
later nothing runs that has the right to add one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zaffre.definition import Image, VarEncryption

PCR_BANK = "sha256"
MAPPED = "var"
"""The name of the mapping, below /dev/mapper."""

_UNITS = "usr/lib/systemd/system"
RECOVERY_KEY = "zaffre.var-recovery-key"
"""The credential (systemd.system-credentials(7)) with a further key of a /var that is being made."""

_PROGRAMS = ("/usr/bin/systemd-cryptsetup", "/usr/lib/systemd/systemd-pcrextend")
_DEFINITIONS = "usr/lib/repart.d"
_RECOVERABLE = "usr/lib/zaffre/recoverable"
_LIBRARIES = ("libtss2-esys.so.0", "libtss2-mu.so.0", "libtss2-rc.so.0", "libtss2-tcti-device.so.0")
_PHASES = "systemd-pcrphase-initrd.service"
# AES with the processor's own instructions; who asks where the kernel image was measured looks into an EFI variable.
_MODULES = ("aes_ce_blk [arm64]", "aesni_intel [amd64]", "dm_crypt", "efivarfs", "tpm_crb", "tpm_tis", "xts")


@dataclass(frozen=True)
class Needs:
    """What the initrd takes from the tree: names of modules, libraries and units, and paths of programs."""

    modules: tuple[str, ...] = ()
    programs: tuple[str, ...] = ()
    libraries: tuple[str, ...] = ()
    units: tuple[str, ...] = ()


def is_encrypted(image: Image) -> bool:
    return image.disk.var_encryption is VarEncryption.TPM2


def encryption_needs(image: Image) -> Needs:
    return Needs(_MODULES, _PROGRAMS, _LIBRARIES, (_PHASES,)) if is_encrypted(image) else Needs()


def encryption_files(image: Image, *, label: str) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The files of the initrd and of the root, by relative path. `label` is that of the partition."""
    if not is_encrypted(image):
        return {}, {}
    initrd = {
        "usr/lib/modules-load.d/zaffre-encryption.conf": "dm_crypt\nefivarfs\n",
        f"{_DEFINITIONS}/50-var.conf.d/encryption.conf": "[Partition]\nEncrypt=tpm2\n",
        f"{_RECOVERABLE}/50-var.conf": f"->/{_DEFINITIONS}/50-var.conf",
        f"{_RECOVERABLE}/50-var.conf.d/encryption.conf": "[Partition]\nEncrypt=key-file+tpm2\n",
        f"{_UNITS}/dev-disk-by\\x2dpartlabel-{label}.device.d/10-zaffre.conf": _VAR_DEVICE,
        f"{_UNITS}/dev-tpmrm0.device.d/10-zaffre.conf": _TPM_DEVICE,
        f"{_UNITS}/emergency.service.d/10-zaffre.conf": _EMERGENCY,
        f"{_UNITS}/{_PHASES}.d/10-zaffre.conf": _AFTER_TPM,
        f"{_UNITS}/sysroot-var.mount.d/10-zaffre.conf": _MOUNT.format(mapped=MAPPED),
        f"{_UNITS}/systemd-repart.service.d/20-encryption.conf": _REPART.format(repart=_SEALED, folder=_DEFINITIONS),
        f"{_UNITS}/systemd-udev-trigger.service.d/20-encryption.conf": _TRIGGER,
        f"{_UNITS}/zaffre-recoverable-var.service": _RECOVERABLE_VAR.format(
            label=label, credential=RECOVERY_KEY, folder=_RECOVERABLE, repart=_SEALED
        ),
        f"{_UNITS}/zaffre-unlock-var.service": _UNLOCK.format(label=label, mapped=MAPPED, phases=_PHASES),
    }
    root = {f"{_UNITS}/zaffre-grow-var.service.d/10-encryption.conf": _GROW}
    return initrd, root


# systemd.device(5). A machine without a TPM is to say so before its owner has given up on it.
_TPM_DEVICE = "[Unit]\nJobRunningTimeoutSec=60\n"

# It is missed from when it could be there: a slow machine takes its time to make it.
_VAR_DEVICE = "[Unit]\nAfter=systemd-repart.service\n"

_EMERGENCY = "[Unit]\nDescription=The root could not be verified, or /var not unlocked: the machine restarts\n"

_AFTER_TPM = "[Unit]\nWants=dev-tpmrm0.device\nAfter=dev-tpmrm0.device systemd-modules-load.service\n"

# Only what the initrd looks for is looked at (see `state`); a driver that is part of the kernel was there before udev.
_TRIGGER = "[Service]\nExecStart=-udevadm trigger --type=devices --action=add --subsystem-match=tpmrm\n"

# Without the public key, which systemd-stub puts there, it fails. Definitions are those of the initrd: unless said, it
# reads the root's.
_SEALED = (
    "systemd-repart --dry-run=no --tpm2-device=auto --tpm2-pcrs=7+12 --tpm2-public-key-pcrs=11"
    " --tpm2-public-key=/.extra/tpm2-pcr-public-key.pem"
)

# An empty condition takes all of them away: it runs at each boot.
_REPART = """\
[Unit]
ConditionPathExists=
Requires=dev-tpmrm0.device
Wants=zaffre-recoverable-var.service
After=dev-tpmrm0.device zaffre-recoverable-var.service

[Service]
ExecStart=
ExecStart={repart} --definitions=/{folder}
"""

# When it has made the partition, systemd-repart.service finds it there.
_RECOVERABLE_VAR = """\
[Unit]
Description=/var, with a recovery key
DefaultDependencies=no
ConditionCredential={credential}
ConditionPathExists=!/dev/disk/by-partlabel/{label}
Requires=sysroot.mount dev-tpmrm0.device
After=sysroot.mount dev-tpmrm0.device

[Service]
Type=oneshot
RemainAfterExit=yes
ImportCredential={credential}
ExecStartPre=modprobe loop
ExecStart={repart} --definitions=/{folder} --key-file=%d/{credential}
"""

# It asks for no unit that ends with the initrd, and is only ordered after those: when the initrd ends, what asks for
# /var is asked for once more, and with it they would be, against their end ("leave-initrd" is not measured then).
# libcryptsetup's plugin for tokens would look for the signature elsewhere; systemd-cryptsetup itself takes it from
# where systemd-stub puts it.
_UNLOCK = """\
[Unit]
Description=/var, unlocked by the TPM of this machine
DefaultDependencies=no
IgnoreOnIsolate=yes
Requires=dev-tpmrm0.device dev-disk-by\\x2dpartlabel-{label}.device
After={phases} systemd-repart.service dev-tpmrm0.device dev-disk-by\\x2dpartlabel-{label}.device
Before=initrd-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
KeyringMode=shared
Environment=SYSTEMD_CRYPTSETUP_USE_TOKEN_MODULE=0
ExecStart=systemd-cryptsetup attach {mapped} /dev/disk/by-partlabel/{label} - \\
    luks,headless=yes,tpm2-device=auto,tpm2-signature=/.extra/tpm2-pcr-signature.json
"""

_MOUNT = """\
[Unit]
Requires=zaffre-unlock-var.service
After=zaffre-unlock-var.service

[Mount]
What=/dev/mapper/{mapped}
"""

# The partition has grown in the initrd already.
_GROW = "[Service]\nExecStart=\nExecStart=/usr/lib/systemd/systemd-growfs /var\n"
