# SPDX-License-Identifier: Apache-2.0
"""Where an immutable host keeps state: the files that make `/etc` an overlay and `/var` a partition.

Pure: an image in, a mapping of paths to contents out, for the initrd and for the root. The order of a
boot, all of it inside the initrd, so that the first program of the root already sees its final `/etc` and `/var`:

1. sysroot.mount: the verified, read-only root;
2. systemd-repart.service makes the partition `var` at the first boot; zaffre-grow-var.service of the root grows it
   later, when the disk has grown;
3. sysroot-etc.mount: an overlay whose upper layer is in /run, so what is written is gone at the next boot;
4. sysroot-var.mount;
5. zaffre-persist.service copies each declared path of `/etc` into /var/lib/zaffre/etc once, and a bind mount
   lays it over the overlay: writes to it are kept.

The machine's id is made by the manager of the root itself, in the bind mount (machine-id(5)): the file is there and
empty, so a boot is never a "first boot" and no preset runs on a node: units are enabled when the image is built,
and nothing drifts.

SELinux has no policy before the root's system manager loads it. What there is by then has no label: the manager gives
/run and /dev theirs, and, because zaffre-persist.service asks it to (/run/systemd/relabel-extra.d), /var: at the first
boot, and when another version has other labels.

Each program that is started in the initrd is a fifth of a second of an emulated boot, so it has few: no journal (what
is said goes to the kernel's log, from where the root's journal takes it), rules for no other device than disks, and
no step that a restart has no need of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from zaffre.definition import Image, Kind
from zaffre.digest import Sha256
from zaffre.image.encryption import encryption_files

_UNITS = "usr/lib/systemd/system"
_KEPT = "/var/lib/zaffre/etc"
VAR_LABEL = "var"
MANAGER_FILES = "usr/lib/zaffre/manager.conf"
"""In the initrd: MANAGER= (systemd.exec(5), EnvironmentFile), the files that the root's system manager loads, relative
to the root.
"""
_READAHEAD_PROGRAMS = ("/usr/bin/cat",)
_MODULES_PROGRAMS = ("/usr/sbin/modprobe",)


@dataclass(frozen=True)
class StateFiles:
    """Contents by relative path; a value that begins with `->` is the target of a symbolic link."""

    initrd: Mapping[str, str]
    root: Mapping[str, str]


def state_files(image: Image, *, labels: Sha256 | None = None) -> StateFiles:
    """The generated files of a host. In `etc.persistent` a directory ends in `/`. `labels` identifies the SELinux
    labels that files have, if they have some.
    """
    stamp = f"/var/lib/zaffre/labels-{labels[:16]}" if labels else None
    persistent, var_min_bytes = image.etc.persistent, image.disk.var_min
    initrd = {
        "etc/systemd/system.conf.d/10-zaffre.conf": NO_JOURNAL,
        **UDEV_ENDS,
        "usr/lib/modules-load.d/zaffre.conf": _MODULES,
        "usr/lib/udev/rules.d/60-zaffre-disks.rules": _DISK_RULES,
        f"{_UNITS}/systemd-repart.service.d/10-zaffre.conf": _MAKE_VAR.format(label=VAR_LABEL),
        f"{_UNITS}/systemd-udev-trigger.service.d/10-zaffre.conf": _DISKS_ONLY,
        f"{_UNITS}/systemd-udevd.service.d/10-zaffre.conf": _UDEV_FOR_DISKS,
        f"{_UNITS}/systemd-veritysetup@.service.d/10-zaffre.conf": _AFTER_MODULES,
        f"{_UNITS}/initrd.target.wants/initrd-cleanup.service": "->../initrd-cleanup.service",
        f"{_UNITS}/sysroot-etc.mount": _ETC_MOUNT,
        f"{_UNITS}/sysroot-var.mount": _VAR_MOUNT.format(label=VAR_LABEL),
        f"{_UNITS}/emergency.service": _EMERGENCY_SERVICE,
        f"{_UNITS}/zaffre-persist.service": _persist_service(persistent, stamp),
        # dm-verity takes the best SHA-256 that is there when it starts, and does not load a better one by itself.
        "usr/lib/modprobe.d/zaffre.conf": "softdep dm_verity pre: crypto-sha256\n",
        "usr/lib/zaffre/persist.conf": _persist_conf(persistent, relabels=bool(stamp)),
        "usr/lib/repart.d/50-var.conf": _repart_var(var_min_bytes),
    }
    wanted = ["sysroot-etc.mount", "sysroot-var.mount", "zaffre-persist.service"]
    for path in persistent:
        unit = f"{escape_path('/sysroot' + path.rstrip('/'))}.mount"
        initrd[f"{_UNITS}/{unit}"] = _BIND_MOUNT.format(path=path.rstrip("/"), kept=_KEPT, name=_below_etc(path))
        wanted.append(unit)
    for unit in wanted:
        initrd[f"{_UNITS}/initrd-fs.target.requires/{unit}"] = f"->../{unit}"
    if image.initrd.readahead:
        files = " ".join(path.lstrip("/") for path in image.initrd.readahead)
        initrd[f"{_UNITS}/zaffre-readahead.service"] = _READAHEAD_SERVICE.format(manager=MANAGER_FILES, files=files)
        initrd[f"{_UNITS}/initrd.target.wants/zaffre-readahead.service"] = "->../zaffre-readahead.service"
    if image.kernel.load:
        names = " ".join(image.kernel.load)
        initrd[f"{_UNITS}/zaffre-modules.service"] = _MODULES_SERVICE.format(names=names)
        initrd[f"{_UNITS}/initrd.target.wants/zaffre-modules.service"] = "->../zaffre-modules.service"
    root = {
        "usr/lib/udev/rules.d/59-zaffre-disks.rules": _OWN_PARTITION_RULES.format(image=image.name, var=VAR_LABEL),
        "usr/lib/repart.d/50-var.conf": _repart_var(var_min_bytes),
        # The id lives on a bind mount from /var, which this service takes for one that is to be made permanent.
        f"{_UNITS}/systemd-machine-id-commit.service": "->/dev/null",
        f"{_UNITS}/systemd-journal-flush.service.d/10-zaffre.conf": _JOURNAL_LEAVES,
        f"{_UNITS}/zaffre-grow-var.service": _GROW_VAR_SERVICE.format(label=VAR_LABEL),
        f"{_UNITS}/multi-user.target.wants/zaffre-grow-var.service": "->../zaffre-grow-var.service",
    }
    if image.initrd.readahead:
        # It is still at work when the root's system manager takes over, which has to know how its end is to be taken.
        root[f"{_UNITS}/zaffre-readahead.service"] = initrd[f"{_UNITS}/zaffre-readahead.service"]
    if stamp is not None:
        root["usr/lib/tmpfiles.d/zaffre-labels.conf"] = _STAMP.format(stamp=stamp)
    for path in persistent:
        # Mounted in the initrd; the unit tells the order in which both are unmounted.
        root[f"{_UNITS}/{escape_path(path)}.mount"] = _KEPT_MOUNT.format(
            path=path.rstrip("/"), kept=_KEPT, name=_below_etc(path)
        )
    encryption = encryption_files(image, label=VAR_LABEL)
    return StateFiles({**initrd, **encryption[0]}, {**root, **encryption[1]})


def state_modules(image: Image) -> tuple[str, ...]:
    """Modules that the files of `state_files` load in the initrd, besides those that the definition has there."""
    return image.kernel.load if image.kind is Kind.HOST else ()


def state_programs(image: Image) -> tuple[str, ...]:
    """Programs of the root that the files of `state_files` call in the initrd, besides systemd's own."""
    if image.kind is not Kind.HOST:
        return ()
    return (
        *(_READAHEAD_PROGRAMS if image.initrd.readahead else ()),
        *(_MODULES_PROGRAMS if image.kernel.load else ()),
    )


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


def _persist_conf(persistent: Sequence[str], *, relabels: bool) -> str:
    lines = [f"d /sysroot{_KEPT} 0755"]
    if relabels:
        lines += [
            "d /run/systemd/relabel-extra.d 0755",
            "f /run/systemd/relabel-extra.d/zaffre.relabel 0644 - - - /var",
            # Of a new /var, what the first services would make themselves, with the label of the folder above.
            "d /sysroot/var/log 0755",
            "d /sysroot/var/lib/systemd 0755",
        ]
    for path in persistent:
        parents = _below_etc(path).split("/")[:-1]
        lines += [f"d /sysroot{_KEPT}/{'/'.join(parents[: n + 1])} 0755" for n in range(len(parents))]
        lines.append(f"C /sysroot{_KEPT}/{_below_etc(path)} - - - - /sysroot{path.rstrip('/')}")
    return "\n".join(lines) + "\n"


def _persist_service(persistent: Sequence[str], stamp: str | None) -> str:
    """It is passed over once all that it would copy is there, and /var has the labels of this version: `|!` are
    alternatives (systemd.unit(5), "Conditions").
    """
    missing = f"ConditionPathExists=|!/sysroot{stamp}\n" if stamp else ""
    missing += "".join(f"ConditionPathExists=|!/sysroot{_KEPT}/{_below_etc(path)}\n" for path in persistent)
    return _PERSIST_SERVICE.format(conditions=missing)


def _repart_var(minimum: int) -> str:
    return (
        "# repart.d(5): made at the first boot, grown when the disk has grown.\n"
        f"[Partition]\nType=var\nLabel={VAR_LABEL}\nFormat=ext4\nSizeMinBytes={minimum}\n"
        # The machine id is not known when the image is built: the mount unit finds the partition by its label.
        "GrowFileSystem=yes\nFactoryReset=yes\n"
    )


# Without a journal, systemd's own programs speak to the kernel's log and errors of others go to the console.
NO_JOURNAL = (
    "[Manager]\nDefaultStandardOutput=null\nDefaultStandardError=tty\nDefaultEnvironment=SYSTEMD_LOG_TARGET=kmsg\n"
)

# systemd.unit(5), Before=. The root's udev has sockets of the root's own, with its labels: of those of the initrd,
# SELinux lets it have none, and they would be handed on to it if udev took longer to end than the root to take over.
# initrd-udevadm-cleanup-db.service orders this, too, but has udev forget the disks that it has seen.
UDEV_ENDS: Mapping[str, str] = {
    f"{_UNITS}/systemd-udevd-{name}.socket.d/10-zaffre.conf": (
        "[Unit]\nConflicts=initrd-switch-root.target\nBefore=initrd-switch-root.target\n"
    )
    for name in ("control", "kernel")
}

# In one go, before anything asks for them one by one.
_MODULES = "dm_mod\ndm_verity\nerofs\noverlay\n"
_AFTER_MODULES = "[Unit]\nAfter=systemd-modules-load.service\n"

# udev(7). What systemd's own rules would find besides (serial numbers, paths, file systems' labels) is looked at once,
# when the root has taken over. A verity device counts as ready when a file system was seen on it (99-systemd.rules).
_DISK_RULES = """\
ACTION=="remove", GOTO="zaffre_disks_end"
SUBSYSTEM!="block", GOTO="zaffre_disks_end"
KERNEL=="dm-*", IMPORT{builtin}="blkid"
ENV{DEVTYPE}!="partition", GOTO="zaffre_disks_end"
IMPORT{builtin}="blkid"
ENV{ID_PART_ENTRY_SCHEME}!="gpt", GOTO="zaffre_disks_end"
ENV{ID_PART_ENTRY_UUID}=="?*", SYMLINK+="disk/by-partuuid/$env{ID_PART_ENTRY_UUID}"
ENV{ID_PART_ENTRY_NAME}=="?*", SYMLINK+="disk/by-partlabel/$env{ID_PART_ENTRY_NAME}"
LABEL="zaffre_disks_end"
"""

# udev(7). Of a partition of this host itself nobody asks for more names than those of its table; 60-persistent-storage
# would give it twelve, and the system manager a unit for each.
_OWN_PARTITION_RULES = """\
ACTION=="remove", GOTO="zaffre_disks_end"
SUBSYSTEM!="block", GOTO="zaffre_disks_end"
ENV{{PARTNAME}}!="{image}_*|_empty|esp|{var}", GOTO="zaffre_disks_end"
IMPORT{{builtin}}="blkid"
ENV{{ID_PART_ENTRY_SCHEME}}!="gpt", GOTO="zaffre_disks_end"
ENV{{UDEV_DISABLE_PERSISTENT_STORAGE_RULES_FLAG}}="1"
ENV{{ID_PART_ENTRY_UUID}}=="?*", SYMLINK+="disk/by-partuuid/$env{{ID_PART_ENTRY_UUID}}"
ENV{{ID_PART_ENTRY_NAME}}=="?*", SYMLINK+="disk/by-partlabel/$env{{ID_PART_ENTRY_NAME}}"
LABEL="zaffre_disks_end"
"""

# What the root wants loaded, while its disk is looked for: in the root itself sysctl would wait for it, since settings
# of a module exist once it is loaded, and name resolution for sysctl.
_MODULES_SERVICE = """\
[Unit]
Description=Kernel modules of the root
DefaultDependencies=no
After=systemd-modules-load.service
Before=initrd.target

[Service]
Type=oneshot
ExecStart=modprobe --all -- {names}
"""

# It goes on while the root takes over, and /sysroot becomes / under it: paths are relative, from a folder that stays
# the same. A file that is not there is no reason to stop, nor one for a system that counts as degraded.
_READAHEAD_SERVICE = """\
[Unit]
Description=Read what the root will need soon
DefaultDependencies=no
ConditionPathExists=/etc/initrd-release
After=sysroot.mount
Before=initrd.target
IgnoreOnIsolate=yes
SurviveFinalKillSignal=yes

[Service]
Type=exec
EnvironmentFile=/{manager}
WorkingDirectory=/sysroot
ExecStart=-cat $MANAGER {files}
"""

# In the initrd there is nobody to be kept away from it, and each filter of system calls is compiled at its start.
_UDEV_FOR_DISKS = """\
[Service]
IPAddressDeny=
LockPersonality=no
MemoryDenyWriteExecute=no
PrivateMounts=no
ProtectHostname=no
RestrictAddressFamilies=
RestrictRealtime=no
RestrictSUIDSGID=no
SystemCallArchitectures=
SystemCallFilter=
"""

# systemd-repart(8) makes a file system through a loop device. What mke2fs tells of a good one, it tells as an error.
_MAKE_VAR = """\
[Unit]
Requires=sysroot.mount
After=sysroot.mount
ConditionPathExists=!/dev/disk/by-partlabel/{label}

[Service]
ExecStartPre=modprobe loop
Environment=SYSTEMD_REPART_MKFS_OPTIONS_EXT4=-q
"""

# It is stopped with /var (RequiresMountsFor=) only where that has a unit of its own; here the initrd has mounted it.
# What is in the journal's hands is not unmounted.
_JOURNAL_LEAVES = """\
[Unit]
Conflicts=shutdown.target
Before=shutdown.target
"""

# Exit 76: nothing to be found; 77: nothing to be changed (systemd-repart.service(8)). Growing a file system asks for
# CAP_SYS_RESOURCE (ext4), a partition table for CAP_SYS_ADMIN; a bounding set costs no time at a start.
_GROW_VAR_SERVICE = """\
[Unit]
Description=Let /var take the room that its disk has gained
After=multi-user.target
ConditionPathExists=/dev/disk/by-partlabel/{label}

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-repart --dry-run=no
ExecStart=/usr/lib/systemd/systemd-growfs /var
SuccessExitStatus=76 77
NoNewPrivileges=yes
CapabilityBoundingSet=CAP_SYS_ADMIN CAP_SYS_RESOURCE
"""

# The initrd looks for a disk. Everything else is looked at once, when the root has taken over.
_DISKS_ONLY = """\
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add --prioritized-subsystem=pci,virtio,nvme,block \\
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

_ETC_MOUNT = """\
[Unit]
Description=/etc, whose changes end with the boot
DefaultDependencies=no
Requires=sysroot.mount
After=sysroot.mount initrd-root-fs.target
Before=initrd-fs.target

[Mount]
What=overlay
Where=/sysroot/etc
Type=overlay
Options=lowerdir=/sysroot/etc,upperdir=/run/zaffre/etc/upper,workdir=/run/zaffre/etc/work
# Made before the mount program is started.
RuntimeDirectory=zaffre/etc/upper zaffre/etc/work
RuntimeDirectoryPreserve=yes
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
{conditions}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=systemd-tmpfiles --create /usr/lib/zaffre/persist.conf
"""

# tmpfiles.d(5). What /var was labelled by, said when that is done: what runs from here has a policy. One at a time, so
# that a version which comes back labels it again.
_STAMP = "r! /var/lib/zaffre/labels-*\nf {stamp} 0644\n"

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
