# SPDX-License-Identifier: Apache-2.0
"""Where an immutable host keeps state: the files that make `/etc` an overlay and `/var` a partition.

Pure: a definition in, a mapping of paths to contents out, for the initrd and for the root. The order of a
boot, all of it inside the initrd, so that the first program of the root already sees its final `/etc` and `/var`:

1. sysroot.mount: the verified, read-only root;
2. systemd-repart.service makes (first boot) or grows the partition `var`, from repart.d in the root;
3. sysroot-etc.mount: an overlay whose upper layer is in /run, so what is written is gone at the next boot;
4. sysroot-var.mount;
5. zaffre-persist.service copies each declared path of `/etc` into /var/lib/zaffre/etc once, and a bind mount
   lays it over the overlay: writes to it are kept;
6. zaffre-machine-id.service gives the machine its id, if `/etc/machine-id` is declared.

A boot that has a machine id is never a "first boot" (machine-id(5)), so no preset runs on a node: units are
enabled when the image is built, and nothing drifts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_UNITS = "usr/lib/systemd/system"
_KEPT = "/var/lib/zaffre/etc"
VAR_LABEL = "var"


@dataclass(frozen=True)
class StateFiles:
    """Contents by relative path; a value that begins with `->` is the target of a symbolic link."""

    initrd: Mapping[str, str]
    root: Mapping[str, str]


def state_files(*, persistent: Sequence[str], var_min_bytes: int) -> StateFiles:
    """The generated files of a host. `persistent` are absolute paths below /etc; a directory ends in `/`."""
    initrd = {
        f"{_UNITS}/systemd-repart.service.d/10-zaffre.conf": _AFTER_ROOT,
        f"{_UNITS}/systemd-udev-trigger.service.d/10-zaffre.conf": _DISKS_ONLY,
        f"{_UNITS}/sysroot-etc.mount": _ETC_MOUNT,
        f"{_UNITS}/sysroot-var.mount": _VAR_MOUNT.format(label=VAR_LABEL),
        f"{_UNITS}/emergency.service": _EMERGENCY_SERVICE,
        f"{_UNITS}/zaffre-overlay.service": _OVERLAY_SERVICE,
        f"{_UNITS}/zaffre-persist.service": _PERSIST_SERVICE,
        # dm-verity takes the best SHA-256 that is there when it starts, and does not load a better one by itself.
        "usr/lib/modprobe.d/zaffre.conf": "softdep dm_verity pre: crypto-sha256\n",
        "usr/lib/zaffre/overlay.conf": "d /run/zaffre/etc/upper 0755\nd /run/zaffre/etc/work 0755\n",
        "usr/lib/zaffre/persist.conf": _persist_conf(persistent),
        "usr/lib/repart.d/50-var.conf": _repart_var(var_min_bytes),
    }
    wanted = ["sysroot-etc.mount", "sysroot-var.mount", "zaffre-persist.service"]
    for path in persistent:
        unit = f"{escape_path('/sysroot' + path.rstrip('/'))}.mount"
        initrd[f"{_UNITS}/{unit}"] = _BIND_MOUNT.format(path=path.rstrip("/"), kept=_KEPT, name=_below_etc(path))
        wanted.append(unit)
    if "/etc/machine-id" in persistent:
        initrd[f"{_UNITS}/zaffre-machine-id.service"] = _MACHINE_ID_SERVICE
        wanted.append("zaffre-machine-id.service")
    for unit in wanted:
        initrd[f"{_UNITS}/initrd-fs.target.requires/{unit}"] = f"->../{unit}"
    root = {
        "usr/lib/repart.d/50-var.conf": _repart_var(var_min_bytes),
        # The id lives on a bind mount from /var, which this service takes for one that is to be made permanent.
        f"{_UNITS}/systemd-machine-id-commit.service": "->/dev/null",
        f"{_UNITS}/local-fs.target.wants/systemd-growfs@var.service": "->../systemd-growfs@.service",
    }
    for path in persistent:
        # Mounted in the initrd; the unit tells the order in which both are unmounted.
        root[f"{_UNITS}/{escape_path(path)}.mount"] = _KEPT_MOUNT.format(
            path=path.rstrip("/"), kept=_KEPT, name=_below_etc(path)
        )
    return StateFiles(initrd, root)


def escape_path(path: str) -> str:
    r"""The unit name of a path, as `systemd-escape --path` gives it: `/` is `-`, what is special is `\xNN`."""
    trimmed = path.strip("/")
    out = ""
    for index, byte in enumerate(trimmed.encode()):
        character = chr(byte)
        if character == "/":
            out += "-"
        elif (character.isascii() and character.isalnum()) or character in ":_" or (character == "." and index):
            out += character
        else:
            out += f"\\x{byte:02x}"
    return out or "-"


def _below_etc(path: str) -> str:
    return path.removeprefix("/etc/").rstrip("/")


def _persist_conf(persistent: Sequence[str]) -> str:
    lines = [f"d /sysroot{_KEPT} 0755"]
    for path in persistent:
        parents = _below_etc(path).split("/")[:-1]
        lines += [f"d /sysroot{_KEPT}/{'/'.join(parents[: n + 1])} 0755" for n in range(len(parents))]
        lines.append(f"C /sysroot{_KEPT}/{_below_etc(path)} - - - - /sysroot{path.rstrip('/')}")
    return "\n".join(lines) + "\n"


def _repart_var(minimum: int) -> str:
    return (
        "# repart.d(5): made at the first boot, grown when the disk has grown.\n"
        f"[Partition]\nType=var\nLabel={VAR_LABEL}\nFormat=ext4\nSizeMinBytes={minimum}\n"
        # The machine id is not known when the image is built: the mount unit finds the partition by its label.
        "GrowFileSystem=yes\nFactoryReset=yes\n"
    )


_AFTER_ROOT = "[Unit]\nRequires=sysroot.mount\nAfter=sysroot.mount\n"

# The initrd looks for a disk. Everything else is looked at once, when the root has taken over.
_DISKS_ONLY = """\
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --prioritized-subsystem=block \\
    --subsystem-match=block --subsystem-match=pci --subsystem-match=virtio --subsystem-match=scsi \\
    --subsystem-match=nvme --subsystem-match=vmbus --subsystem-match=acpi --subsystem-match=usb
"""

# Nobody can log in to an initrd, and a machine that waits there is lost: it restarts, as the kernel does on panic=.
_EMERGENCY_SERVICE = """\
[Unit]
Description=The root could not be verified or mounted: the machine restarts
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=systemctl --force --no-block reboot
"""

_OVERLAY_SERVICE = """\
[Unit]
Description=Room for the overlay of /etc
DefaultDependencies=no

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-tmpfiles --create /usr/lib/zaffre/overlay.conf
"""

_ETC_MOUNT = """\
[Unit]
Description=/etc, whose changes end with the boot
DefaultDependencies=no
Requires=sysroot.mount zaffre-overlay.service
After=sysroot.mount zaffre-overlay.service initrd-root-fs.target
Before=initrd-fs.target

[Mount]
What=overlay
Where=/sysroot/etc
Type=overlay
Options=lowerdir=/sysroot/etc,upperdir=/run/zaffre/etc/upper,workdir=/run/zaffre/etc/work
"""

_VAR_MOUNT = """\
[Unit]
Description=/var, the one writable partition
DefaultDependencies=no
After=sysroot.mount systemd-repart.service initrd-root-fs.target
Before=initrd-fs.target

[Mount]
What=/dev/disk/by-partlabel/{label}
Where=/sysroot/var
Type=ext4
Options=nodev,nosuid
"""

_PERSIST_SERVICE = """\
[Unit]
Description=The files of /etc that are kept
DefaultDependencies=no
Requires=sysroot-var.mount sysroot-etc.mount
After=sysroot-var.mount sysroot-etc.mount
Before=initrd-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-tmpfiles --create /usr/lib/zaffre/persist.conf
"""

_BIND_MOUNT = """\
[Unit]
Description={path}, kept
DefaultDependencies=no
Requires=zaffre-persist.service
After=zaffre-persist.service
Before=initrd-fs.target

[Mount]
What=/sysroot{kept}/{name}
Where=/sysroot{path}
Type=none
Options=bind
"""

_KEPT_MOUNT = """\
[Unit]
Description={path}, kept
RequiresMountsFor={kept}

[Mount]
What={kept}/{name}
Where={path}
Type=none
Options=bind
"""

_MACHINE_ID_SERVICE = """\
[Unit]
Description=The machine's id
DefaultDependencies=no
Requires=sysroot-etc-machine\\x2did.mount
After=sysroot-etc-machine\\x2did.mount
Before=initrd-fs.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-machine-id-setup --root=/sysroot
"""
