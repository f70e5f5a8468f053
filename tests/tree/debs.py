# SPDX-License-Identifier: Apache-2.0
"""Small packages made on the spot, sound and hostile ones."""

from __future__ import annotations

import io
import lzma
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from zaffre.digest import sha256_bytes
from zaffre.tree.deb.model import ControlFile, Kind, Member, PackageIndex
from zaffre.upstream.lock import LockedPackage


def entry(name: str, content: bytes | None = None, **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    """A tar member: a file with that content, or what `type` and `linkname` say."""
    info = tarfile.TarInfo(name)
    info.mode = 0o644
    if content is None and "type" not in fields:
        info.type = tarfile.DIRTYPE
        info.mode = 0o755
    for key, value in fields.items():
        setattr(info, key, value)
    info.size = len(content or b"") if "size" not in fields else info.size
    return info, content or b""


def tar(entries: Iterable[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, content in entries:
            # addfile would pad to info.size, which may be a lie
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def ar(members: Sequence[tuple[str, bytes]]) -> bytes:
    out = b"!<arch>\n"
    for name, data in members:
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{'100644':<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) & 1)
    return out


def control(name: str, version: str = "1.0", architecture: str = "amd64", **fields: str) -> str:
    lines = {"Package": name, "Version": version, "Architecture": architecture, "Maintainer": "Nobody", **fields}
    return "".join(f"{key.replace('_', '-')}: {value}\n" for key, value in lines.items()) + "Description: a test\n"


def deb(
    entries: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    *,
    name: str = "probe",
    scripts: Iterable[tuple[tarfile.TarInfo, bytes]] = (),
    data_name: str = "data.tar.xz",
    data: bytes | None = None,
    **fields: str,
) -> bytes:
    inner = tar([entry("./"), entry("./control", control(name, **fields).encode()), *scripts])
    body = lzma.compress(tar([entry("./"), *entries]), preset=0) if data is None else data
    return ar([("debian-binary", b"2.0\n"), ("control.tar.xz", lzma.compress(inner, preset=0)), (data_name, body)])


def locked(content: bytes, name: str = "probe", version: str = "1.0", architecture: str = "amd64") -> LockedPackage:
    return LockedPackage(
        name=name,
        version=version,
        architecture=architecture,
        sha256=sha256_bytes(content),
        size=len(content),
        path=f"pool/{name}_{version}_{architecture}.deb",
        suite="stable",
        archive="debian",
        source=name,
        source_version=version,
    )


def write(folder: Path, content: bytes) -> Path:
    path = folder / "probe.deb"
    path.write_bytes(content)
    return path


def member(path: str, kind: Kind = Kind.FILE, mode: int = 0o644, **fields: object) -> Member:
    return Member(path, kind, mode, 0, 0, 0, 0, 0)._replace(**fields)


def index(
    name: str, *members: Member, version: str = "1.0", files: dict[str, str] | None = None, **fields: str
) -> PackageIndex:
    return PackageIndex(
        control=control(name, version, **fields),
        files={key: ControlFile(0o644, text.encode()) for key, text in (files or {}).items()},
        conffiles=(),
        members=(member("", Kind.DIRECTORY, 0o755), *members),
    )
