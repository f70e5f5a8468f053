# SPDX-License-Identifier: Apache-2.0
"""What the rules for a `.wsl` file look at, read from the archive in one go."""

from __future__ import annotations

import configparser
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from zaffre.image.wsl.archive import WslArchive

DISTRIBUTION_CONF = "etc/wsl-distribution.conf"
WSL_CONF = "etc/wsl.conf"

_CONFS = (DISTRIBUTION_CONF, WSL_CONF)
_ACCOUNTS = ("etc/passwd", "etc/shadow")
_PROGRAMS = ("bin/sh", "bin/bash", "sbin/init")
_NAMED_BY = ("shortcut.icon", "windowsterminal.profiletemplate")
_TEXT_LIMIT = 4 << 20
_PROGRAM_LIMIT = 64
_MACHINES = {62: "amd64", 183: "arm64"}  # elf.h: EM_X86_64, EM_AARCH64


@dataclass(frozen=True)
class Conf:
    """An .ini file: values by "section.key" in lower case, as WSL compares them; `fault` says what cannot be read."""

    values: Mapping[str, str]
    fault: str | None = None


@dataclass(frozen=True)
class Account:
    name: str
    uid: int


@dataclass(frozen=True)
class Look:
    """`contents` are by path, without those that are not there; `architecture` is that of /bin/sh."""

    archive: WslArchive
    confs: Mapping[str, Conf]
    contents: Mapping[str, bytes]
    users: tuple[Account, ...]
    user_faults: tuple[str, ...]
    passwords: Mapping[str, str]

    def setting(self, key: str) -> str | None:
        """A value of the distribution's own configuration."""
        return self.confs[DISTRIBUTION_CONF].values.get(key)

    def machine(self, path: str) -> str | None:
        """The architecture of a program; None for what is not there, is no 64-bit ELF file, or cannot be executed."""
        member = self.archive.at(path)
        head = self.contents.get(path, b"")
        if member is None or not member.mode & 0o111 or not head.startswith(b"\x7fELF\x02\x01") or len(head) < 20:
            return None
        return _MACHINES.get(struct.unpack_from("<H", head, 18)[0])

    @property
    def architecture(self) -> str | None:
        return self.machine("bin/sh")


def look_into(archive: WslArchive) -> Look:
    """Read what the rules need. Raises IntegrityError for a damaged archive."""
    texts = archive.read([*_CONFS, *_ACCOUNTS], limit=_TEXT_LIMIT)
    confs = {path: _conf(texts.get(path, b"")) for path in _CONFS}
    named = [value for key in _NAMED_BY if (value := confs[DISTRIBUTION_CONF].values.get(key))]
    contents = {
        **archive.read(named, limit=_TEXT_LIMIT),
        **archive.read(_PROGRAMS, limit=_PROGRAM_LIMIT),
    }
    users, faults = _users(texts.get("etc/passwd", b"").decode(errors="replace"))
    return Look(
        archive, confs, contents, users, faults, _passwords(texts.get("etc/shadow", b"").decode(errors="replace"))
    )


def _conf(data: bytes) -> Conf:
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=("#",))
    try:
        parser.read_string(data.decode())
    except (configparser.Error, UnicodeDecodeError) as error:
        return Conf({}, " ".join(str(error).split()))
    return Conf(
        {
            f"{section.lower()}.{key.lower()}": value.strip().strip('"')
            for section in parser.sections()
            for key, value in parser.items(section)
        }
    )


def _users(text: str) -> tuple[tuple[Account, ...], tuple[str, ...]]:
    found, faults = [], []
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) != 7 or not fields[2].isdecimal():
            faults.append(f"/etc/passwd has a line that names no user: {line[:60]!r}")
        else:
            found.append(Account(fields[0], int(fields[2])))
    return tuple(found), tuple(faults)


def _passwords(text: str) -> dict[str, str]:
    rows = [line.split(":") for line in text.splitlines()]
    return {row[0]: row[1] for row in rows if len(row) > 1}
