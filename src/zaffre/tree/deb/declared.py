# SPDX-License-Identifier: Apache-2.0
"""What a Debian package says of itself in its files: its copyright file, and os-release if it brings that."""

from __future__ import annotations

import posixpath

from zaffre.bill import BillLicence, BillSystem
from zaffre.progress import SILENT
from zaffre.store import Store
from zaffre.tree.deb.copyright import licence_of
from zaffre.tree.deb.model import Kind, Member
from zaffre.tree.deb.unpack import Unpacked, unpack_all
from zaffre.tree.identity import OS_RELEASE, parse_os_release
from zaffre.tree.said import Said
from zaffre.upstream.lock import LockedPackage

_DOCUMENTATION = "usr/share/doc"
_MOST_BYTES = 4 << 20
_MOST_LINKS = 8


def declared(package: LockedPackage, store: Store) -> Said:
    """From its files as they were unpacked, which is done if this store has not. IntegrityError for a hostile one.

    Documentation may be a link into another package's (policy 12.5).
    """
    (unpacked,) = unpack_all((package,), store=store, progress=SILENT, jobs=1)
    members = {one.path: one for one in unpacked.index.members}
    found = _followed(f"{_DOCUMENTATION}/{package.name}/copyright", members)
    release = members.get(OS_RELEASE)
    system = None if release is None or release.kind is not Kind.FILE else _system(_text(unpacked, release))
    if isinstance(found, Member):
        return Said(licence_of(_text(unpacked, found)), None, system)
    folder, _, rest = found.removeprefix(f"{_DOCUMENTATION}/").partition("/")
    elsewhere = found.startswith(f"{_DOCUMENTATION}/") and rest == "copyright" and folder != package.name
    return Said(BillLicence(), folder if elsewhere else None, system)


def _followed(path: str, members: dict[str, Member]) -> Member | str:
    """The file that a path leads to within the package, or the path at which the package has nothing."""
    for _ in range(_MOST_LINKS):
        known = members.get(path)
        if known is not None and known.kind is Kind.FILE:
            return known
        link = next((one for one in _prefixes(path) if one in members and members[one].kind is Kind.SYMLINK), None)
        if link is None:
            return path
        target = posixpath.join("/", posixpath.dirname(link), members[link].target)
        path = posixpath.normpath(target + path[len(link) :]).lstrip("/")
    return path


def _prefixes(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:number]) for number in range(1, len(parts) + 1)]


def _text(unpacked: Unpacked, member: Member) -> str:
    if member.size > _MOST_BYTES:
        return ""
    with unpacked.data.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size).decode("utf-8", errors="replace")


def _system(text: str) -> BillSystem:
    said = parse_os_release(text)
    version = said.get("VERSION_ID") or said.get("VERSION_CODENAME", "")  # what is not released has no number
    return BillSystem(said.get("ID", "linux"), version, said.get("NAME", ""))
