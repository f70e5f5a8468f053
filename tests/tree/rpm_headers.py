# SPDX-License-Identifier: Apache-2.0
"""Headers of RPM packages written byte by byte (rpm's format_header.md), sound and hostile ones."""

from __future__ import annotations

import stat
import struct
from collections.abc import Mapping, Sequence

from zaffre.upstream.lock import LockedPackage
from zaffre.upstream.rpm.header import Header, Tag, stored_header

_FORMATS = {"h": (3, ">H"), "i": (4, ">I"), "l": (5, ">Q")}
GHOST = 1 << 6

Path = tuple[str, int, str]
"""Path, mode with its kind, a link's target."""


def file(path: str, mode: int = 0o644) -> Path:
    return path, stat.S_IFREG | mode, ""


def folder(path: str, mode: int = 0o755) -> Path:
    return path, stat.S_IFDIR | mode, ""


def link(path: str, target: str) -> Path:
    return path, stat.S_IFLNK | 0o777, target


def stored(entries: Sequence[tuple[Tag, str, object]]) -> bytes:
    """A header as rpm's database has it. Kinds: "s" text, "t" texts, "h", "i" and "l" numbers of 16, 32 and 64 bits."""
    index, store = b"", b""
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        if kind == "s":
            number, data, count = 6, str(value).encode() + b"\0", 1
        elif kind == "t":
            texts = list(value)  # type: ignore[call-overload]
            number, data, count = 8, b"".join(text.encode() + b"\0" for text in texts), len(texts)
        else:
            numbers = list(value)  # type: ignore[call-overload]
            number, form = _FORMATS[kind]
            data, count = b"".join(struct.pack(form, one) for one in numbers), len(numbers)
            store += b"\0" * (-len(store) % struct.calcsize(form))
        index += struct.pack(">IIiI", tag, number, len(store), count)
        store += data
    return struct.pack(">II", len(entries), len(store)) + index + store


def header_bytes(
    name: str,
    paths: Sequence[Path] = (),
    *,
    capabilities: Mapping[str, str] | None = None,
    ghosts: Sequence[str] = (),
    version: str = "1.0",
    sizes: Sequence[int] | None = None,
    kinds: Mapping[Tag, str] | None = None,
) -> bytes:
    """A package of these paths; their order is theirs. `kinds` writes tags in another type than theirs."""
    folders = list(dict.fromkeys(path.rpartition("/")[0] + "/" for path, _, _ in paths))
    entries: list[tuple[Tag, str, object]] = [
        (Tag.NAME, "s", name),
        (Tag.VERSION, "s", version),
        (Tag.RELEASE, "s", "1"),
        (Tag.ARCHITECTURE, "s", "x86_64"),
    ]
    if paths:
        entries += [
            (Tag.BASENAMES, "t", [path.rpartition("/")[2] for path, _, _ in paths]),
            (Tag.DIRNAMES, "t", folders),
            (Tag.DIRINDEXES, "i", [folders.index(path.rpartition("/")[0] + "/") for path, _, _ in paths]),
            (Tag.FILE_SIZES, "i", list(sizes or [5] * len(paths))),
            (Tag.FILE_MODES, "h", [mode for _, mode, _ in paths]),
            (Tag.FILE_MTIMES, "i", [1000] * len(paths)),
            (Tag.FILE_FLAGS, "i", [GHOST if path in ghosts else 0 for path, _, _ in paths]),
            (Tag.FILE_LINKTOS, "t", [target for _, _, target in paths]),
        ]
    if capabilities:
        entries.append((Tag.FILE_CAPS, "t", [capabilities.get(path, "") for path, _, _ in paths]))
    return stored([(tag, (kinds or {}).get(tag, kind), value) for tag, kind, value in entries])


def header(name: str, paths: Sequence[Path] = (), **settings: object) -> Header:
    return stored_header(header_bytes(name, paths, **settings))  # type: ignore[arg-type]


def locked(name: str) -> LockedPackage:
    return LockedPackage(
        name=name,
        version="1.0-1",
        architecture="amd64",
        sha256="0" * 64,
        size=1,
        path=f"Packages/{name}.rpm",
        suite="repo",
        archive="test",
        source=name,
        source_version="1.0-1",
    )
