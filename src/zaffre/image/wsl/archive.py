# SPDX-License-Identifier: Apache-2.0
"""Reading a `.wsl` file, which is a compressed tar of a root. It may be anybody's: nothing of it is written anywhere.

It is read from front to end, once for the list of what is in it and once for the content of a few files.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from zaffre.errors import DefinitionError, IntegrityError

GZIP = "gzip"

_MAGICS = ((b"\x1f\x8b", GZIP), (b"\xfd7zXZ\0", "xz"), (b"BZh", "bzip2"), (b"\x28\xb5\x2f\xfd", "zstd"))
_USTAR_AT = 257
_MOST_MEMBERS = 4_000_000
_MOST_BYTES = 1 << 40
_MOST_LINKS = 40
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Member:
    """One path of the archive. `kind` is "file", "folder", "link" or "other"; a hard link is what it leads to."""

    kind: str
    mode: int
    uid: int
    gid: int
    size: int
    target: str = ""


_FOLDER = Member("folder", 0o755, 0, 0, 0)


@dataclass(frozen=True)
class WslArchive:
    """What is in a `.wsl` file, by path without a leading slash.

    `hard` are the hard links with the paths that they lead to, `named` whether owners are there by name too, `outside`
    the names that lead out of the root.
    """

    path: Path
    compression: str
    members: Mapping[str, Member]
    hard: Mapping[str, str]
    named: bool
    outside: tuple[str, ...]

    def resolve(self, path: str) -> str | None:
        """Where a path leads once every link is followed as if the archive were `/`; None if nothing is there."""
        done: list[str] = []
        todo = [part for part in reversed(path.split("/")) if part not in {"", "."}]
        followed = 0
        while todo:
            part = todo.pop()
            if part == "..":
                del done[-1:]
                continue
            here = "/".join([*done, part])
            member = self.members.get(here)
            if member is None:
                return None
            if member.kind != "link":
                done.append(part)
                continue
            followed += 1
            if followed > _MOST_LINKS:
                return None
            if member.target.startswith("/"):
                done.clear()
            todo.extend(one for one in reversed(member.target.split("/")) if one not in {"", "."})
        return "/".join(done)

    def at(self, path: str) -> Member | None:
        """What a path leads to."""
        found = self.resolve(path)
        return self.members.get(found) if found is not None else None

    def read(self, paths: Collection[str], *, limit: int) -> dict[str, bytes]:
        """The content of the files among those that `paths` lead to, at most `limit` bytes of each."""
        wanted: dict[str, list[str]] = {}
        for path in paths:
            place = self.resolve(path)
            if place is not None and self.members[place].kind == "file":
                wanted.setdefault(self.hard.get(place, place), []).append(path)
        found: dict[str, bytes] = {}
        if not wanted:
            return found
        with _opened(self.path, self.compression, whole=False) as archive:
            for info in archive:
                names = wanted.pop(_plain(info.name), None) if info.isreg() else None
                if names is not None:
                    file = archive.extractfile(info)
                    data = file.read(limit) if file is not None else b""
                    found |= dict.fromkeys(names, data)
                if not wanted:
                    break
        return found


def open_archive(path: Path) -> WslArchive:
    """Read the list of a whole file. DefinitionError for what is no tar, IntegrityError for one that is damaged."""
    compression = _compression(path)
    members: dict[str, Member] = {}
    hard: dict[str, str] = {}
    outside: list[str] = []
    named = False
    with _opened(path, compression, whole=True) as archive:
        for number, info in enumerate(archive):
            if number > _MOST_MEMBERS:
                raise IntegrityError(f"it has more than {_MOST_MEMBERS} members", where=str(path))
            name = _plain(info.name)
            if ".." in name.split("/"):
                outside.append(info.name)
                continue
            named = named or bool(info.uname or info.gname)
            member = _member(info)
            if info.islnk():
                first = _plain(info.linkname)
                hard[name] = hard.get(first, first)
                member = members.get(first, member)
            members[name] = member
    for name in [*members]:
        for parent in _parents(name):
            members.setdefault(parent, _FOLDER)
    return WslArchive(path, compression, members, hard, named, tuple(outside))


def _parents(name: str) -> Iterator[str]:
    """The folders above a path, which an archive need not have."""
    while name := name.rpartition("/")[0]:
        yield name


def _member(info: tarfile.TarInfo) -> Member:
    kind = "file" if info.isreg() else "folder" if info.isdir() else "link" if info.issym() else "other"
    return Member(kind, info.mode & 0o7777, info.uid, info.gid, info.size, info.linkname if info.issym() else "")


def _plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part not in {"", "."})


def _compression(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(512)
    for magic, name in _MAGICS:
        if head.startswith(magic):
            return name
    if head[_USTAR_AT:].startswith(b"ustar"):
        return "none"
    raise DefinitionError(
        "this is no .wsl file: neither a tar nor a compressed one",
        where=str(path),
        resolution='give a file that `zaffre build` made of an image of the kind "wsl", or one made with tar and gzip',
    )


@contextmanager
def _opened(path: Path, compression: str, *, whole: bool) -> Iterator[tarfile.TarFile]:
    """The archive as a stream. With `whole`, what comes after its last member is read too: then all of it is sound.

    The modules for compressed files say when one ends too soon, and hold its checksum; tarfile's own streams don't.
    """
    try:
        with _decompressed(path, compression) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                yield archive
            left = _MOST_BYTES if whole else 0
            while left > 0 and (data := stream.read(_CHUNK)):
                left -= len(data)
    except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
        raise IntegrityError(
            f"the file is cut off or damaged: {error}",
            where=str(path),
            resolution="fetch or copy it again, and compare its SHA-256",
        ) from error


def _decompressed(path: Path, compression: str) -> gzip.GzipFile | lzma.LZMAFile | bz2.BZ2File | IO[bytes]:
    match compression:
        case "gzip":
            return gzip.GzipFile(path)
        case "xz":
            return lzma.LZMAFile(path)
        case "bzip2":
            return bz2.BZ2File(path)
        case "none":
            return path.open("rb")
    raise DefinitionError(
        f"it is compressed by {compression}, which WSL's documentation does not name, and which cannot be read here",
        where=str(path),
        resolution="compress the tar with gzip, which every WSL takes",
    )
