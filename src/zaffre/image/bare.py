# SPDX-License-Identifier: Apache-2.0
"""What scripts of packages do elsewhere, for an image in which none runs: users, certificates, the time zone.

The forms are those of passwd(5) and group(5), and of update-ca-certificates(8), which joins the certificates of
/usr/share/ca-certificates into one file, in the order of their names.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

from zaffre.definition import User
from zaffre.errors import IntegrityError
from zaffre.tree.tarball import read_tar

BUNDLE = "etc/ssl/certs/ca-certificates.crt"
NOBODY = 65534
NO_HOME = "/nonexistent"
UTC = "usr/share/zoneinfo/Etc/UTC"
"""The zone that tzdata's script chooses where nobody is asked."""

_NO_LOGIN = "/usr/sbin/nologin"
_CERTIFICATES = "usr/share/ca-certificates/"
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def account_files(users: Sequence[User]) -> dict[str, str]:
    """`etc/passwd` and `etc/group` of a system with root, nobody and these users. Pure.

    A group that is named in `groups` and is nobody's own is left out: nothing in such an image would have its files.
    """
    groups = {user.name: user.gid if user.gid is not None else user.uid for user in users}
    members = {name: [user.name for user in users if name in user.groups] for name in groups}
    passwd = ["root:x:0:0:root:/root:" + _NO_LOGIN]
    passwd += [f"{user.name}:x:{user.uid}:{groups[user.name]}:{user.name}:{user.home}:{user.shell}" for user in users]
    passwd += [f"nobody:x:{NOBODY}:{NOBODY}:nobody:{NO_HOME}:{_NO_LOGIN}"]
    group = ["root:x:0:"]
    group += [f"{name}:x:{gid}:{','.join(members[name])}" for name, gid in groups.items()]
    group += [f"nogroup:x:{NOBODY}:"]
    return {"etc/passwd": "".join(f"{line}\n" for line in passwd), "etc/group": "".join(f"{one}\n" for one in group)}


def certificate_bundle(archive: Path) -> bytes:
    """The certificates that the packages of a root, a canonical archive, bring; b"" if there are none."""
    found: dict[str, bytes] = {}
    with archive.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for entry in read_tar(content):
            if entry.kind == "0" and entry.path.startswith(_CERTIFICATES) and entry.path.endswith(".crt"):
                found[entry.path] = content[entry.offset : entry.offset + entry.size]
    for path, data in found.items():
        if not data.startswith(_BEGIN):
            raise IntegrityError("a package brings a certificate that is not PEM", where=f"/{path}")
    return b"".join(data if data.endswith(b"\n") else data + b"\n" for _, data in sorted(found.items()))
