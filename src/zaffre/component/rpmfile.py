# SPDX-License-Identifier: Apache-2.0
"""RPM package files: what was built described for the lock, and sources and packages taken apart by rpm2archive(1)."""

from __future__ import annotations

import os
import shutil
import stat
import tarfile
from pathlib import Path

from zaffre.errors import IntegrityError
from zaffre.sandbox import Mount, Sandbox
from zaffre.store import Store
from zaffre.upstream.lock import COMPONENTS, BuiltPackage, LockedPackage, LockedSource
from zaffre.upstream.rpm.entry import entry_of
from zaffre.upstream.rpm.header import Header, Tag, read_head
from zaffre.upstream.rpm.package import identity, source_said

_TIMEOUT = 900.0
_RPM = "/run/package.rpm"
_WORK = "/run/work"
_MOST_SAID = 32 << 10
"""Bytes around a file in an archive: its path and a link's target, each of 4096 bytes at most, and padding."""
_HEADER = "HEADER.xml"
_TAKE_APART = f"""
rpm2archive --nocompression --format=pax <{_RPM} | tar --extract --directory "$1"
rpm --query --package --xml --nosignature --define '_dbpath /tmp/rpmdb' {_RPM} >"$1/{_HEADER}"
"""


def built_rpm(component: str, rpm: Path, *, store: Store, sandbox: Sandbox) -> BuiltPackage:  # noqa: ARG001
    """Put a package file into the store, and say of it what the lock keeps. Raises IntegrityError for a bad one."""
    try:
        with rpm.open("rb") as file:
            header = read_head(file).header
        name, version, architecture = identity(header)
        source, source_version = source_said(header.text(Tag.SOURCE_RPM) or "") or (name, version)
        return BuiltPackage(
            package=LockedPackage(
                name=name,
                version=version,
                architecture=architecture,
                sha256=store.add_file(rpm),
                size=rpm.stat().st_size,
                path=f"{component}/{_file_name(header)}",
                suite=COMPONENTS,
                archive=COMPONENTS,
                source=source,
                source_version=source_version,
            ),
            control=entry_of(header),
        )
    except ValueError as error:  # pydantic's too
        raise IntegrityError("the build left a file that is no package", where=rpm.name, details=str(error)) from error


def _file_name(header: Header) -> str:
    name, version, release, architecture = (
        header.text(tag) or "" for tag in (Tag.NAME, Tag.VERSION, Tag.RELEASE, Tag.ARCHITECTURE)
    )
    return f"{name}-{version}-{release}.{architecture}.rpm"


def unpack_rpm_source(source: LockedSource, target: Path, *, store: Store, sandbox: Sandbox) -> None:
    """A source package, from its file in the store, in the absent `target`: a spec, and what it names, side by side.

    Raises IntegrityError for what is no source, or holds anything but plain files.
    """
    if len(source.files) != 1:
        raise IntegrityError(
            f"the source '{source.name}' has {len(source.files)} files, not one",
            where=f"{source.name} {source.version}",
        )
    (file,) = source.files
    path = store.path(file.digest)
    where = file.path.rpartition("/")[2]
    try:
        with path.open("rb") as opened:
            header = read_head(opened, source=True).header
        sizes = header.numbers(Tag.LONG_FILE_SIZES) or header.numbers(Tag.FILE_SIZES)
    except ValueError as error:
        raise IntegrityError(f"the source '{source.name}' is malformed", where=where, details=str(error)) from error
    limit = sum(sizes) + (len(sizes) + 1) * _MOST_SAID
    with store.scratch("rpm-source") as scratch:
        archive = scratch / "source.tar"
        sandbox.run(
            ["prlimit", f"--fsize={limit}", "rpm2archive", "--nocompression", "--format=pax"],
            stdin=path,
            stdout=archive,
            timeout=_TIMEOUT,
        )
        target.mkdir()
        _extract(archive, target, where=where)


def _extract(archive: Path, target: Path, *, where: str) -> None:
    with tarfile.open(archive, "r:") as members:
        for member in members:
            name = member.name.removeprefix("./")
            content = members.extractfile(member) if member.isreg() else None
            if content is None or name in {"", ".", ".."} or "/" in name or (target / name).exists():
                raise IntegrityError(
                    "the source package holds something else than plain files beside one another",
                    where=where,
                    details=repr(member.name[:200]),
                    resolution="this is no source to build; look where it comes from",
                )
            place = target / name
            with place.open("xb") as out:
                shutil.copyfileobj(content, out)
            place.chmod(0o755 if member.mode & stat.S_IXUSR else 0o644)
            os.utime(place, (member.mtime, member.mtime))


def unpack_rpm(rpm: Path, folder: Path, *, sandbox: Sandbox) -> None:
    """The files of a package in the absent `folder`, and all that its header says as XML beside them."""
    folder.mkdir()
    sandbox.run(
        ["/bin/bash", "-euo", "pipefail", "-c", _TAKE_APART, "bash", f"{_WORK}/{folder.name}"],
        mounts=[Mount(rpm, _RPM), Mount(folder.parent, _WORK, writable=True)],
        timeout=_TIMEOUT,
    )
