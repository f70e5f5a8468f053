# SPDX-License-Identifier: Apache-2.0
"""What maintainer scripts do in Debian, said anew in the ways of RPM: files, ownership, scriptlets, file triggers.

Only what a system needs to boot and to pass `zaffre check`. dpkg and debconf are not in this distribution, and nothing
of it calls them.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field

LEFT_OUT = frozenset({"debconf", "dpkg", "init-system-helpers", "libdebconfclient0"})
"""The tools of maintainer scripts, of which none is left; nobody may depend on them either."""

FIRST = ("base-files", "base-passwd")
"""Every other package requires them before it is installed, as Fedora's require filesystem and setup."""


@dataclass(frozen=True)
class Adaptation:
    """How a package differs from its .deb.

    `install` is run in the build root; `files` are further lines of %files; `attributes` override the %attr of paths;
    `gone` are paths (with all below them) that are not packaged; `scriptlets` go into the spec as they stand, with
    `{name}` for the option that names the package.
    """

    install: str = ""
    files: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    gone: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    scriptlets: str = ""


def _sysusers_line(line: str) -> str:
    """As a version that rpm decodes: padded with zeros, since `=` is not for versions."""
    return b64encode(line.encode() + b"\0" * (-len(line) % 3)).decode()


_BASE_FILES = Adaptation(
    install=r"""
cp usr/share/base-files/profile etc/profile
ln -s ../proc/self/mounts etc/mtab
mkdir -p media mnt opt srv usr/local/bin usr/local/lib usr/local/sbin usr/local/share var/log
rm usr/lib/os-release
cat >usr/lib/os-release <<END
ID=rpmtest
ID_LIKE=fedora
NAME="RPM test distribution"
VERSION_ID=13
VERSION_CODENAME=fixture
END
""",
    files=(
        "%config(noreplace) /etc/profile",
        "/etc/mtab",
        *(f"%dir /{name}" for name in ("media", "mnt", "opt", "srv", "usr/local", "usr/local/bin")),
        *(f"%dir /usr/local/{name}" for name in ("lib", "sbin", "share")),
    ),
    # In rpm's own Lua, as of packages that are there before any shell.
    scriptlets="""%posttrans {name} -p <lua>
local source, target = assert(io.open("/usr/share/base-files/motd")), assert(io.open("/etc/motd", "w"))
target:write(source:read("a"))
target:close()
""",
)

_BASE_PASSWD = Adaptation(
    install=r"""
mkdir -p etc
cp usr/share/base-passwd/passwd.master etc/passwd
cp usr/share/base-passwd/group.master etc/group
sed 's/^\([^:]*\):.*/\1:*:::::::/' etc/passwd >etc/shadow
sed 's/^\([^:]*\):.*/\1:*::/' etc/group >etc/gshadow
""",
    files=(
        "%config(noreplace) /etc/passwd",
        "%config(noreplace) /etc/group",
        "%config(noreplace) %attr(0000, root, root) /etc/shadow",
        "%config(noreplace) %attr(0000, root, root) /etc/gshadow",
    ),
)

_CERTIFICATES = Adaptation(
    requires=("coreutils", "findutils", "openssl", "sed"),
    scriptlets=r"""%posttrans {name}
set -e
cd /usr/share/ca-certificates
find . -name '*.crt' | sed 's|^\./||' | LC_ALL=C sort >/etc/ca-certificates.conf
update-ca-certificates --fresh >/dev/null
""",
)

_SYSTEMD = Adaptation(
    install=r"""
mkdir -p usr/lib/systemd/system-preset
printf 'enable %s\n' dbus-broker.service containerd.service >usr/lib/systemd/system-preset/80-rpmtest.preset
printf 'disable *\n' >usr/lib/systemd/system-preset/99-default.preset
""",
    files=(
        "/usr/lib/systemd/system-preset/80-rpmtest.preset",
        "/usr/lib/systemd/system-preset/99-default.preset",
    ),
    scriptlets=r"""%transfiletriggerin {name} -- /usr/lib/sysusers.d
systemd-sysusers

%transfiletriggerin {name} -- /usr/lib/systemd/catalog
journalctl --update-catalog

%posttrans {name}
set -e
[ -e /etc/machine-id ] || systemd-machine-id-setup
systemctl --quiet preset-all
""",
)

_KERNEL = Adaptation(
    install=r"""
for version in $(ls usr/lib/modules); do
    mv "boot/vmlinuz-$version" "usr/lib/modules/$version/vmlinuz"
    mv "boot/config-$version" "usr/lib/modules/$version/config"
    mv "boot/System.map-$version" "usr/lib/modules/$version/System.map"
done
""",
    files=tuple(f"/usr/lib/modules/*/{name}" for name in ("vmlinuz", "config", "System.map")),
    gone=("boot",),
    requires=("kmod", "liblzma5"),  # kmod opens that by itself when a module is packed
    scriptlets=r"""%posttrans {name}
set -e
for folder in /usr/lib/modules/*; do depmod -a "${{folder##*/}}"; done
""",
)

_MESSAGEBUS = _sysusers_line('u messagebus - "System Message Bus"')
_MESSAGES = Adaptation(
    # rpm makes the user before the files are there (rpm-user-group(7)); the value is the line of sysusers.d(5).
    provides=(f"user(messagebus) = {_MESSAGEBUS}", "group(messagebus)"),
    install="mkdir -p var/lib/messages",
    files=("%dir %attr(0750, root, messagebus) /var/lib/messages",),
)

ADAPTATIONS: Mapping[str, Adaptation] = {
    "base-files": _BASE_FILES,
    "base-passwd": _BASE_PASSWD,
    "ca-certificates": _CERTIFICATES,
    "dbus-system-bus-common": _MESSAGES,
    "dash": Adaptation(provides=("/bin/sh",)),  # where scriptlets look for it; the link of the merged /usr is no path
    "debianutils": Adaptation(install="ln -s which.debianutils usr/bin/which", files=("/usr/bin/which",)),
    "kmod": Adaptation(install="touch etc/modules", files=("%config(noreplace) /etc/modules",)),
    "libc-bin": Adaptation(
        install="cp usr/share/libc-bin/nsswitch.conf etc/nsswitch.conf",
        files=("%config(noreplace) /etc/nsswitch.conf",),
        scriptlets="%transfiletriggerin {name} -- /usr/lib /usr/lib64\nldconfig\n",
    ),
    "mawk": Adaptation(install="ln -s mawk usr/bin/awk", files=("/usr/bin/awk",)),
    "systemd": _SYSTEMD,
    "systemd-resolved": Adaptation(
        install="mkdir -p etc; ln -s ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf",
        files=("/etc/resolv.conf",),
    ),
    "tzdata": Adaptation(
        install="mkdir -p etc; ln -s ../usr/share/zoneinfo/Etc/UTC etc/localtime", files=("/etc/localtime",)
    ),
}


def adaptation(name: str) -> Adaptation:
    return _KERNEL if name.startswith("linux-image-6") else ADAPTATIONS.get(name, Adaptation())
