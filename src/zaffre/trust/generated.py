# SPDX-License-Identifier: Apache-2.0
"""Files that no package has and no tree of the definition: which are known to be made, and by what. Pure.

What is not named here is no fault, but `zaffre verify` lists it, so that nothing comes into an image unseen.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from fnmatch import fnmatchcase

KNOWN = {
    "accounts, by packages' scripts and the definition": (
        "/etc/group",
        "/etc/gshadow",
        "/etc/passwd",
        "/etc/shadow",
        "/etc/shells",
        "/etc/subgid",
        "/etc/subuid",
        "/var/lib/shells.state",
    ),
    "records of package managers": (
        "/usr/lib/sysimage/*",
        "/var/cache/debconf/*",
        "/var/lib/apt/*",
        "/var/lib/dpkg/*",
        "/var/lib/pam/*",
        "/var/lib/python/*",
        "/var/lib/rpm/*",
        "/var/lib/systemd/deb-systemd-*",
        "/var/lib/ucf/*",
    ),
    "caches and indexes of what is there": (
        "/etc/ca-certificates.conf",
        "/etc/ld.so.cache",
        "/etc/pki/ca-trust/extracted/*",
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/udev/hwdb.bin",
        "/usr/lib/modules/*/modules.*",
        "/usr/lib/udev/hwdb.bin",
        "/usr/share/factory/var/lib/systemd/catalog/database",
        "/var/cache/ldconfig/*",
        "/var/lib/systemd/catalog/database",
    ),
    "first copies of settings, by packages' scripts": (
        "/etc/environment",
        "/etc/locale.conf",
        "/etc/default/locale",
        "/etc/hosts",
        "/etc/hosts.allow",
        "/etc/hosts.deny",
        "/etc/inputrc",
        "/etc/modules",
        "/etc/motd",
        "/etc/networks",
        "/etc/nsswitch.conf",
        "/etc/pam.d/common-*",
        "/etc/profile",
        "/etc/python3/debian_config",
        "/etc/security/opasswd",
        "/etc/ssh/sshd_config",
        "/root/.bashrc",
        "/root/.profile",
    ),
    "systemd's notes that both are up to date": ("/etc/.updated", "/var/.updated"),
    "empty logs": ("/var/log/btmp", "/var/log/lastlog", "/var/log/wtmp"),
    "what Zaffre makes of the definition": (
        "*zaffre*",
        "/etc/machine-id",
        "/etc/selinux/config",
        "/etc/selinux/*/contexts/*",
        "/etc/selinux/*/policy/*",
        "/etc/selinux/*/seusers",
        "/usr/lib/os-release",
        "/usr/lib/os-release.upstream",
        "/usr/lib/repart.d/*",
        "/usr/lib/ssl/fipsmodule.cnf",
        "/usr/lib/systemd/system/boot.automount",
        "/usr/lib/systemd/system/*.mount",
        "/usr/lib/sysupdate.d/*",
        "/usr/share/sbom/*",
    ),
}


_COMPILED = re.compile(r"(?P<folder>.*/)__pycache__/(?P<name>[^/]+)\.cpython-\d+(\.opt-[12])?\.pyc")
"""A module as the interpreter keeps it: PEP 3147, PEP 488."""


def unknown(paths: Iterable[str], packaged: Container[str]) -> list[str]:
    """Those among files that were made which nothing here names (`*` stands for any characters, slashes too), and
    which are no compiled module of Python whose source is a package's.
    """
    patterns = [one for known in KNOWN.values() for one in known]
    return sorted(
        path for path in paths if not any(fnmatchcase(path, one) for one in patterns) and _source(path) not in packaged
    )


def _source(path: str) -> str | None:
    """Of which module that is the compiled form."""
    match = _COMPILED.fullmatch(path)
    return f"{match['folder']}{match['name']}.py" if match else None
