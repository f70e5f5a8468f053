# SPDX-License-Identifier: Apache-2.0
"""The rules for a `.wsl` file, each with what in an archive does not keep it.

Source: Microsoft's documentation, "Build a Custom Linux Distribution for WSL" and "Advanced settings configuration in
WSL", and the program that submitted distributions are held against (`distributions/validate-modern.py` of
microsoft/WSL).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from zaffre.image.wsl.archive import GZIP, open_archive
from zaffre.image.wsl.look import DISTRIBUTION_CONF, WSL_CONF, Look, look_into
from zaffre.image.wsl.report import Finding, Rule, WslReport, error, warning
from zaffre.image.wsl.units import harmful_units

_ICON_LIMIT = 10 << 20
_ICO = b"\0\0\1\0"  # ICONDIR: reserved, 1 for an icon
_DEFAULT_UID = "1000"
_BOOT = re.compile(
    r"(?:boot/)?(?:vmlinu[xz]|vmlinuz-[^/]*|Image-[^/]*|bzImage|initrd[^/]*|initramfs[^/]*)|"
    r"(?:usr/)?lib/modules/[^/]+/(?:vmlinuz|initrd|initramfs\.img)"
)
_NO_PASSWORD = re.compile(r"[!*]*")
_CONF_KEYS = {
    DISTRIBUTION_CONF: {
        *("oobe.command", "oobe.defaultuid", "oobe.defaultname", "shortcut.icon", "shortcut.enabled"),
        *("windowsterminal.profiletemplate", "windowsterminal.enabled"),
    },
    WSL_CONF: {
        *("automount.enabled", "automount.mountfstab", "automount.root", "automount.options", "automount.ldconfig"),
        *("boot.command", "boot.systemd", "boot.protectbinfmt", "gpu.enabled", "gpu.appendlibpath", "general.guiapps"),
        *("interop.enabled", "interop.appendwindowspath", "user.default", "time.usewindowstimezone"),
        *("network.generatehosts", "network.generateresolvconf", "network.hostname"),
    },
}

Check = Callable[[Look], Iterator[Finding]]


def check_wsl(path: Path) -> WslReport:
    """Hold a `.wsl` file against every rule. Raises DefinitionError for what is none, IntegrityError for a damaged
    one.
    """
    look = look_into(open_archive(path))
    rules = tuple(Rule(rule=name, findings=tuple(check(look))) for name, check in RULES.items())
    return WslReport(file=str(path), architecture=look.architecture, rules=rules)


def _compression(look: Look) -> Iterator[Finding]:
    if look.archive.compression != GZIP:
        yield warning(f"the tar is compressed by {look.archive.compression}: older WSL takes gzip alone")


def _top(look: Look) -> Iterator[Finding]:
    members = look.archive.members
    if look.archive.at("etc") is None or look.archive.at("usr") is None:
        tops = sorted({path.split("/")[0] for path in members})
        yield error(f"the top of the archive is not the root of the system: it has {', '.join(tops[:5]) or 'nothing'}")
    for name in look.archive.outside[:3]:
        yield error(f"{name} leads out of the archive")


def _owners(look: Look) -> Iterator[Finding]:
    if look.archive.named:
        yield warning("owners are there by name too: make the archive with `tar --numeric-owner`")


def _distribution_conf(look: Look) -> Iterator[Finding]:
    yield from _conf(look, DISTRIBUTION_CONF, missing=error("it is not there"))


def _wsl_conf(look: Look) -> Iterator[Finding]:
    yield from _conf(look, WSL_CONF, missing=warning("it is not there"))


def _conf(look: Look, path: str, *, missing: Finding) -> Iterator[Finding]:
    if look.archive.at(path) is None:
        yield missing
        return
    conf = look.confs[path]
    if conf.fault is not None:
        yield error(f"it cannot be read: {conf.fault}")
    yield from _owned(look, path, 0o644)
    for key in sorted(conf.values.keys() - _CONF_KEYS[path]):
        text = f"the documentation has no key {key}"
        yield error(text) if path == DISTRIBUTION_CONF else warning(text)


def _owned(look: Look, path: str, *modes: int) -> Iterator[Finding]:
    member = look.archive.at(path)
    if member is None:
        return
    if (member.uid, member.gid) != (0, 0):
        yield warning(f"/{path.lstrip('/')} belongs to {member.uid}:{member.gid}, not to root:root")
    if member.mode not in modes:
        yield warning(f"/{path.lstrip('/')} has the mode {member.mode:04o}, not {modes[0]:04o}")


def _oobe(look: Look) -> Iterator[Finding]:
    command = look.setting("oobe.command")
    if command is None:
        yield warning("there is no oobe.command, so nobody is asked for a user")
        return
    member = look.archive.at(command)
    if member is None or member.kind != "file":
        yield error(f"oobe.command names {command}, which is not there: no shell could be opened")
        return
    if not member.mode & 0o111:
        yield error(f"oobe.command names {command}, which cannot be executed: no shell could be opened")
    yield from _owned(look, command, 0o755)
    yield from _below(command, "oobe.command", "/usr/lib/wsl/", "/usr/libexec/wsl/")


def _uid(look: Look) -> Iterator[Finding]:
    uid = look.setting("oobe.defaultuid")
    if uid is None:
        if look.setting("oobe.command") is not None:
            yield error("there is an oobe.command, and no oobe.defaultUid: the user that it makes is not used")
    elif not uid.isdecimal():
        yield error(f"oobe.defaultUid is {uid!r}, which is no number")
    elif uid != _DEFAULT_UID:
        yield warning(f"oobe.defaultUid is {uid}, not {_DEFAULT_UID}")
    elif any(user.uid == int(uid) for user in look.users):
        yield warning(f"/etc/passwd has a user {uid} already")


def _name(look: Look) -> Iterator[Finding]:
    if not look.setting("oobe.defaultname"):
        yield error("there is no oobe.defaultName: the file cannot be installed by a double click")


def _icon(look: Look) -> Iterator[Finding]:
    icon = look.setting("shortcut.icon")
    if icon is None:
        yield warning("there is no shortcut.icon")
        return
    member = look.archive.at(icon)
    if member is None or member.kind != "file":
        yield error(f"shortcut.icon names {icon}, which is not there")
        return
    if member.size > _ICON_LIMIT:
        yield error(f"{icon} has {member.size} bytes, and may have {_ICON_LIMIT}")
    if not look.contents.get(icon, b"").startswith(_ICO):
        yield error(f"{icon} is no file in the format .ico")
    yield from _owned(look, icon, 0o644)
    yield from _below(icon, "shortcut.icon", "/usr/lib/wsl/", "/usr/share/wsl/")


def _terminal(look: Look) -> Iterator[Finding]:
    template = look.setting("windowsterminal.profiletemplate")
    if template is None:
        return
    member = look.archive.at(template)
    if member is None or member.kind != "file":
        yield error(f"windowsterminal.profileTemplate names {template}, which is not there")
        return
    try:
        profile = json.loads(look.contents.get(template, b""))
    except ValueError as fault:
        yield error(f"{template} is no JSON: {fault}")
        return
    if not isinstance(profile, dict) or not isinstance(profile.get("profiles"), list):
        yield error(f"{template} has no list of profiles")
    yield from _below(template, "windowsterminal.profileTemplate", "/usr/lib/wsl/", "/usr/share/wsl/")


def _below(path: str, key: str, *folders: str) -> Iterator[Finding]:
    if not path.startswith(folders):
        yield warning(f"{key} names {path}, which is not below {' or '.join(folders)}")


def _resolv(look: Look) -> Iterator[Finding]:
    if "etc/resolv.conf" in look.archive.members:
        yield error("/etc/resolv.conf is there: WSL writes its own")


def _passwd(look: Look) -> Iterator[Finding]:
    for fault in look.user_faults:
        yield error(fault)
    roots = [user.name for user in look.users if user.uid == 0]
    if roots != ["root"]:
        yield error(f"the users with the number 0 are {', '.join(roots) or 'none'}, and should be root alone")
    numbers = [user.uid for user in look.users]
    for uid in sorted({uid for uid in numbers if numbers.count(uid) > 1 and uid != 0}):
        yield error(f"/etc/passwd has the number {uid} more than once")
    yield from _owned(look, "etc/passwd", 0o644)


def _shadow(look: Look) -> Iterator[Finding]:
    for name, password in look.passwords.items():
        if not password:
            yield warning(f"{name} has an empty password")
        elif not _NO_PASSWORD.fullmatch(password):
            yield error(f"/etc/shadow has a hash of {name}'s password")
    member = look.archive.at("etc/shadow")
    if member is not None and member.mode & 0o137:
        yield warning(f"/etc/shadow has the mode {member.mode:04o}: not only root may read it")


def _kernel(look: Look) -> Iterator[Finding]:
    found = [path for path, member in look.archive.members.items() if member.kind != "folder" and _BOOT.fullmatch(path)]
    for path in sorted(found):
        yield error(f"/{path} is a kernel or an initramfs: WSL has its own")


def _systemd(look: Look) -> Iterator[Finding]:
    value = (look.confs[WSL_CONF].values.get("boot.systemd") or "false").lower()
    if value not in {"true", "false"}:
        yield error(f"boot.systemd of /etc/wsl.conf is {value!r}, and can be true or false")
    elif value == "false":
        yield warning("/etc/wsl.conf has no boot.systemd=true: services don't run")
    elif look.machine("sbin/init") is None:
        yield error(
            "/etc/wsl.conf says boot.systemd=true, and /sbin/init leads to no program: the system has no systemd"
        )


def _units(look: Look) -> Iterator[Finding]:
    for path in harmful_units(look.archive):
        yield error(f"{path}: this unit does harm in WSL, and is neither masked nor disabled")


def _shells(look: Look) -> Iterator[Finding]:
    for path in ("bin/sh", "bin/bash"):
        if look.machine(path) is None:
            yield error(f"/{path} leads to no program of a known architecture")
    machines = {machine for machine in map(look.machine, ("bin/sh", "bin/bash", "sbin/init")) if machine is not None}
    if len(machines) > 1:
        yield error(f"programs are of more than one architecture: {', '.join(sorted(machines))}")


RULES: dict[str, Check] = {
    "a tar, compressed by gzip": _compression,
    "its top is the root of the system": _top,
    "owners by number": _owners,
    "/etc/wsl-distribution.conf": _distribution_conf,
    "/etc/wsl.conf": _wsl_conf,
    "oobe.command: the first start": _oobe,
    "oobe.defaultUid": _uid,
    "oobe.defaultName": _name,
    "shortcut.icon": _icon,
    "windowsterminal.profileTemplate": _terminal,
    "no /etc/resolv.conf": _resolv,
    "/etc/passwd": _passwd,
    "no passwords in /etc/shadow": _shadow,
    "no kernel, no initramfs": _kernel,
    "boot.systemd": _systemd,
    "no units that do harm": _units,
    "shells and architecture": _shells,
}
