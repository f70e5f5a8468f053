# SPDX-License-Identifier: Apache-2.0
"""What a package holds, as values: the members of its data archive, its control files, and their JSON form."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

from zaffre.digest import canonical_json
from zaffre.upstream.deb.control import parse_stanza

INDEX_FORMAT = 2


class Kind(StrEnum):
    """The kinds of file that a package may hold; everything else is refused when it is unpacked."""

    DIRECTORY = "d"
    FILE = "f"
    SYMLINK = "l"
    HARDLINK = "h"


class Member(NamedTuple):
    """One entry of a data archive.

    `path` has no leading slash and is "" for the root; `mode` is the twelve permission bits; `mtime` is in seconds;
    `offset` is where the content begins in the uncompressed archive, `size` its bytes; `target` is a symlink's text
    or a hard link's path (in the form of `path`); `capability` is the hexadecimal security.capability attribute;
    `sha256` is set only for files of Multi-Arch: same packages, the one case in which two packages may share a file.
    """

    path: str
    kind: Kind
    mode: int
    uid: int
    gid: int
    size: int
    mtime: int
    offset: int
    target: str = ""
    capability: str = ""
    sha256: str = ""


class ControlFile(NamedTuple):
    mode: int
    content: bytes


@dataclass(frozen=True)
class PackageIndex:
    """All that is known of an unpacked package, save the content of its files.

    `control` is the text of its control file, `files` the other control files (maintainer scripts, triggers …),
    `conffiles` has, in the package's order, the absolute path of each configuration file and what dpkg's status file
    says of it: the MD5 of its content, or that an upgrade removes it.
    """

    control: str
    files: Mapping[str, ControlFile]
    conffiles: tuple[tuple[str, str], ...]
    members: tuple[Member, ...]

    @cached_property
    def fields(self) -> Mapping[str, str]:
        return parse_stanza(self.control)

    @property
    def name(self) -> str:
        return self.fields["Package"]

    @property
    def version(self) -> str:
        return self.fields["Version"]

    @property
    def architecture(self) -> str:
        return self.fields["Architecture"]

    @property
    def same(self) -> bool:
        """Whether several architectures of it can be installed together (Multi-Arch: same)."""
        return self.fields.get("Multi-Arch") == "same"

    @property
    def label(self) -> str:
        """How dpkg's database names it: with the architecture exactly when it is Multi-Arch: same."""
        return f"{self.name}:{self.architecture}" if self.same else self.name

    def to_bytes(self) -> bytes:
        return canonical_json(
            {
                "format": INDEX_FORMAT,
                "control": self.control,
                "files": {
                    name: [file.mode, base64.b64encode(file.content).decode()] for name, file in self.files.items()
                },
                "conffiles": [list(one) for one in self.conffiles],
                "members": [list(member) for member in self.members],
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> PackageIndex:
        raw = json.loads(data)
        return cls(
            control=raw["control"],
            files={name: ControlFile(mode, base64.b64decode(text)) for name, (mode, text) in raw["files"].items()},
            conffiles=tuple((path, text) for path, text in raw["conffiles"]),
            members=tuple(Member(row[0], Kind(row[1]), *row[2:]) for row in raw["members"]),
        )
