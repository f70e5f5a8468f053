# SPDX-License-Identifier: Apache-2.0
"""Checksums of Go modules: reading go.sum, and computing what it says. Pure, but for the reading of a zip.

Formats: go.sum and the hash "h1:" as in the Go modules reference ("go.sum files") and golang.org/x/mod/sumdb/dirhash;
the layout of a module proxy as in "GOPROXY protocol".
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from zaffre.definition.values import is_module_path
from zaffre.errors import IntegrityError

MAX_ZIP_BYTES = 500 << 20
"""Go's own limit of a module's zip, and of its files together (golang.org/x/mod/zip)."""
MAX_MOD_BYTES = 16 << 20
_MAX_FILES = 100_000
_PUNCTUATION = frozenset("!#$%&()+,-.=@[]^_{}~ ")
_DEVICES = frozenset(
    ("con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(1, 10)))
)
_LINE = re.compile(
    r"(?P<module>\S+) (?P<version>v[0-9A-Za-z][0-9A-Za-z.+-]*)(?P<mod>/go\.mod)? (?P<sum>h1:[A-Za-z0-9+/]{43}=)\Z"
)


@dataclass(frozen=True, order=True)
class GoFile:
    """One file that a proxy has: a module's zip, or (`mod`) its go.mod."""

    module: str
    version: str
    mod: bool = False

    @property
    def path(self) -> str:
        """Below the root of a proxy; capitals are escaped, for file systems that don't tell them apart."""
        suffix = "mod" if self.mod else "zip"
        return f"{escaped(self.module)}/@v/{escaped(self.version)}.{suffix}"

    def __str__(self) -> str:
        return f"{self.module}@{self.version}{' (go.mod)' if self.mod else ''}"


def escaped(text: str) -> str:
    return re.sub(r"[A-Z]", lambda match: "!" + match[0].lower(), text)


def parse_go_sum(text: str, *, where: str) -> dict[GoFile, str]:
    """Raises IntegrityError for a line of another form, and for a file with two sums."""
    found: dict[GoFile, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = _LINE.match(line.strip())
        if match is None or not is_module_path(match["module"]):
            raise IntegrityError("a line of go.sum is malformed", where=f"{where}:{number}", details=line[:200])
        file = GoFile(match["module"], match["version"], bool(match["mod"]))
        if found.setdefault(file, match["sum"]) != match["sum"]:
            raise IntegrityError(f"go.sum has two checksums of {file}", where=f"{where}:{number}")
    return found


def h1(files: Mapping[str, bytes] | Iterable[tuple[str, bytes]]) -> str:
    """The hash of (name, SHA-256 of the content) pairs.

    Raises IntegrityError for a name with control characters: with a line's end in it, one file would have the sum of
    two.
    """
    pairs = sorted(files.items() if isinstance(files, Mapping) else files)
    for name, _ in pairs:
        if any(one < " " or one == "\x7f" for one in name):
            raise IntegrityError("a file's name holds control characters", details=repr(name[:200]))
    lines = "".join(f"{digest.hex()}  {name}\n" for name, digest in pairs)
    return "h1:" + base64.b64encode(hashlib.sha256(lines.encode()).digest()).decode()


def sum_of_mod(content: bytes) -> str:
    return h1({"go.mod": hashlib.sha256(content).digest()})


def sum_of_zip(content: bytes, file: GoFile) -> str:
    """Raises IntegrityError for a zip that is damaged, larger than Go allows, or has names of another module."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return h1([(info.filename, _digest(archive, info)) for info in _entries(archive, file)])
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError, OSError) as error:
        raise IntegrityError(f"the zip of {file} is damaged", where=str(file), details=str(error)) from error


def unpack_zip(path: Path, file: GoFile, target: Path) -> None:
    """Write a module's files below `target`, without the prefix that its zip gives them."""
    prefix = _prefix(file)
    with zipfile.ZipFile(path) as archive:
        for info in _entries(archive, file):
            place = target / info.filename.removeprefix(prefix)
            place.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as source, place.open("wb") as out:
                while chunk := source.read(1 << 20):
                    out.write(chunk)
            place.chmod(0o644)


def _prefix(file: GoFile) -> str:
    return f"{file.module}@{file.version}/"


def _entries(archive: zipfile.ZipFile, file: GoFile) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > _MAX_FILES or sum(info.file_size for info in infos) > MAX_ZIP_BYTES:
        raise IntegrityError(f"the zip of {file} holds more than a module may", where=str(file))
    prefix = _prefix(file)
    seen: set[str] = set()
    for info in infos:
        # zipfile cuts a name off at a NUL; the whole one is kept beside it.
        name = info.orig_filename
        if not name.startswith(prefix) or not all(map(_may_be, name.removeprefix(prefix).split("/"))):
            raise IntegrityError(
                f"the zip of {file} holds a path that no module has", where=str(file), details=repr(name[:200])
            )
        if name.lower() in seen:
            raise IntegrityError(
                f"the zip of {file} holds a path twice, but for capitals", where=str(file), details=name[:200]
            )
        seen.add(name.lower())
    return infos


def _may_be(part: str) -> bool:
    """Whether it may be a part of a path in a module, by the rules of golang.org/x/mod/module (CheckFilePath)."""
    return (
        bool(part)
        and not part.endswith(".")
        and part.partition(".")[0].lower() not in _DEVICES
        and all(one in _PUNCTUATION or (one.isalnum() if one.isascii() else one.isalpha()) for one in part)
    )


def _digest(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    digest = hashlib.sha256()
    with archive.open(info) as source:
        while chunk := source.read(1 << 20):
            digest.update(chunk)
    return digest.digest()
