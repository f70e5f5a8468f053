# SPDX-License-Identifier: Apache-2.0
"""The texts that apt reads: stanzas of packages, and the Release that vouches for their indexes. Pure.

Format: "DebianRepository/Format" in Debian's wiki, apt-ftparchive(1); fields of control files are those of Debian
policy 5.3. python-debian reads and writes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime

from debian.deb822 import Deb822

from zaffre.errors import IntegrityError
from zaffre.upstream.deb.release import FileFact
from zaffre.upstream.deb.version import version_key
from zaffre.upstream.lock import LockedPackage
from zaffre.upstream.pool import pool_path

BUILDERS = "build"
"""The component that holds what images and components are built with. No machine uses it; a lock is fetched from it."""
SNAPSHOT_FIELD = "Snapshot"
# What an index says of a file; a control file that says so itself is not believed.
_OF_THE_FILE = ("Filename", "Size", "MD5sum", "SHA1", "SHA256", "SHA512", "Status")


def packages_text(packages: Iterable[tuple[LockedPackage, str]]) -> bytes:
    """An index of packages, each with the text of its control file. The same packages give the same bytes."""
    ordered = sorted(packages, key=lambda one: (one[0].name, version_key(one[0].version), one[0].architecture))
    return "\n".join(stanza(package, control) for package, control in ordered).encode()


def stanza(package: LockedPackage, control: str) -> str:
    """Raises IntegrityError when the control file is of another package than the lock says."""
    fields = Deb822(control)
    said = {name: fields.get(name, "") for name in ("Package", "Version", "Architecture")}
    locked = {"Package": package.name, "Version": package.version, "Architecture": package.architecture}
    if said != locked:
        raise IntegrityError(
            "a package is another one than the lock says",
            where=f"{package.name} {package.version}",
            details="\n".join(f"{name}: locked {locked[name]}, found {said[name]}" for name in locked),
        )
    for name in _OF_THE_FILE:
        fields.pop(name, None)
    fields["Filename"] = pool_path(package)
    fields["Size"] = str(package.size)
    fields["SHA256"] = package.sha256
    return fields.dump()


@dataclass(frozen=True)
class Heading:
    """What a Release says besides its files. `valid_until` and `by_hash` are for suites that move."""

    origin: str
    label: str
    suite: str
    codename: str
    snapshot: str
    date: datetime
    architectures: tuple[str, ...]
    components: tuple[str, ...]
    valid_until: datetime | None = None
    by_hash: bool = False

    def text(self, files: Mapping[str, FileFact]) -> bytes:
        """The text that is signed."""
        fields = {
            "Origin": self.origin,
            "Label": self.label,
            "Suite": self.suite,
            "Codename": self.codename,
            SNAPSHOT_FIELD: self.snapshot,
            "Date": _date(self.date),
            **({"Valid-Until": _date(self.valid_until)} if self.valid_until is not None else {}),
            **({"Acquire-By-Hash": "yes"} if self.by_hash else {}),
            # Packages for all architectures are in the index of each.
            "No-Support-for-Architecture-all": "Packages",
            "Architectures": " ".join(self.architectures),
            "Components": " ".join(self.components),
        }
        head = "".join(f"{name}: {value}\n" for name, value in fields.items())
        sums = "".join(f" {fact.sha256} {fact.size} {path}\n" for path, fact in sorted(files.items()))
        return f"{head}SHA256:\n{sums}".encode()


def _date(time: datetime) -> str:
    return format_datetime(time, usegmt=True).replace("GMT", "UTC")
